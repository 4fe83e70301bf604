# Git's second helper, behind `cache`: says why the sidecar had nothing, and answers people.

gcr_usage() {
    gcr_message="usage: git-credential-relay COMMAND

  why [URL]        say why git got no token, for a repository or the last time
  status [--json]  show what the sidecar is doing
  get              for git: tell on stderr why the sidecar had nothing

The sidecar is asked at $GCR_SOCKET,
or where GIT_CREDENTIAL_RELAY_SOCKET says."
    printf '%s\n' "$gcr_message"
}

gcr_usage_error() {
    gcr_tell "$1" usage 'see git-credential-relay --help' 'trying again before that will not help'
    exit 2
}

# For git: nothing on stdout, so that it goes on, and the failure on stderr if it was one.
gcr_get() {
    gcr_read_request
    gcr_reach || exit 0
    gcr_put_question "relay=why${gcr_newline}format=stderr"
    gcr_ask_words "$gcr_question"
    # Silence is right for a host that is not ours; only for ours may the sidecar be missed.
    case " $GCR_ORIGINS " in
        *" $gcr_protocol://$gcr_host "*) gcr_ours=yes ;;
        *) gcr_ours='' ;;
    esac
    case $gcr_ours$gcr_answer in
        '' | git-credential-relay:*'[sidecar-refused]'*) exit 0 ;;
        yes) gcr_tell_absence || exit 0 ;;
        *) printf '%s\n' "$gcr_answer" >&2 ;;
    esac
    # Git asks no other helper then, and nobody at the terminal. In doubt it is meant to be on.
    case ${GIT_CREDENTIAL_RELAY_FAIL_CLOSED-} in
        '' | null | seed-me | 0 | false | no | off) ;;
        *) printf 'quit=1\n\n' ;;
    esac
    exit 0
}

# For people: print the answer to the lines in $1.
gcr_print_answer() {
    gcr_reach || exit "$gcr_exit"
    gcr_ask_words "$1"
    case $gcr_answer in
        '') ;;
        'git-credential-relay: error: '*)
            printf '%s\n' "$gcr_answer" >&2
            exit 1
            ;;
        *)
            printf '%s\n' "$gcr_answer"
            exit 0
            ;;
    esac
    gcr_tell_absence && exit "$gcr_exit"
    gcr_usage_error 'the sidecar cannot make anything of the question'
}

gcr_why() {
    case ${1-} in
        '') gcr_print_answer relay=why ;;
        -* | *[[:cntrl:]]*) gcr_usage_error 'why takes the URL of a repository' ;;
        *://*) gcr_print_answer "relay=why${gcr_newline}url=$1" ;;
        *) gcr_usage_error 'why takes the URL of a repository' ;;
    esac
}

case ${1-} in
    get) gcr_get ;;
    why)
        [ $# -le 2 ] || gcr_usage_error 'why takes one URL'
        gcr_why "${2-}"
        ;;
    status)
        case "$#${2-}" in
            1) gcr_print_answer relay=status ;;
            2--json) gcr_print_answer "relay=status${gcr_newline}format=json" ;;
            *) gcr_usage_error 'status takes --json and nothing else' ;;
        esac
        ;;
    --help | -h | help) gcr_usage ;;
    --version) printf 'git-credential-relay %s\n' "$GCR_VERSION" ;;
    '')
        gcr_usage >&2
        exit 2
        ;;
    *)
        # An operation of git's, maybe of a later one: helpers ignore what they do not know.
        [ -t 0 ] || exit 0
        case $1 in
            store | erase | capability) ;;
            *) gcr_usage_error 'there is no such command where Python is not' ;;
        esac
        ;;
esac
exit 0
