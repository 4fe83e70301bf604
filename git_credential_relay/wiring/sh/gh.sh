# The gh in front of the real one, in sidecar mode: with a socket for gh the real one talks to the
# sidecar and holds no token; without, it gets a token that the sidecar has just given.

# Set gcr_gh to the gh behind us.
gcr_find_gh() {
    gcr_depth=${GIT_CREDENTIAL_RELAY_GH_DEPTH:-0}
    case $gcr_depth in *[!0-9]* | ????*) gcr_depth=0 ;; esac
    while :; do
        # Else a number with a leading zero would be an octal one.
        case $gcr_depth in 0?*) gcr_depth=${gcr_depth#0} ;; *) break ;; esac
    done
    if [ "$gcr_depth" -ge "$GCR_MAX_DEPTH" ]; then
        gcr_tell 'the gh behind this one calls this one again' gh-loop \
            'remove the script called gh on PATH that does so' \
            'trying again before that will not help'
        exit 127
    fi
    if ! gcr_find gh; then
        gcr_tell 'there is no gh on PATH besides this stand-in' gh-not-found \
            'install gh: https://cli.github.com' 'trying again before that will not help'
        exit 127
    fi
    gcr_gh=$gcr_found
    GIT_CREDENTIAL_RELAY_GH_DEPTH=$((gcr_depth + 1))
    export GIT_CREDENTIAL_RELAY_GH_DEPTH
}

# Ask the sidecar for a credential: gcr_username and gcr_password; or gcr_code and the rest of
# what it says of its failure; or neither.
gcr_ask_credential() {
    gcr_username='' gcr_password='' gcr_code='' gcr_message='' gcr_hint='' gcr_details=''
    gcr_retryable='' gcr_retry_after='' gcr_exit=1
    gcr_put_question "relay=credential${gcr_newline}use=$1"
    gcr_left=$(gcr_ask "$gcr_question")$gcr_newline
    # By hand: some shells would keep the text of a here-document in a file.
    while [ -n "$gcr_left" ]; do
        gcr_line=${gcr_left%%"$gcr_newline"*}
        gcr_left=${gcr_left#*"$gcr_newline"}
        case $gcr_line in
            username=*) gcr_username=${gcr_line#*=} ;;
            password=*) gcr_password=${gcr_line#*=} ;;
            failure_code=*) gcr_code=${gcr_line#*=} ;;
            failure_message=*) gcr_message=${gcr_line#*=} ;;
            failure_hint=*) gcr_hint=${gcr_line#*=} ;;
            failure_details=*) gcr_details=${gcr_line#*=} ;;
            failure_retryable=*) gcr_retryable=1 ;;
            failure_retry_after=*) gcr_retry_after=${gcr_line#*=} ;;
            failure_exit_code=*) gcr_exit=${gcr_line#*=} ;;
        esac
    done
    gcr_line=
    case $gcr_exit in '' | *[!0-9]* | ????*) gcr_exit=1 ;; esac
}

# Tell the sidecar's failure as the Python programs do.
gcr_tell_failure() {
    if [ -z "$gcr_retryable" ]; then
        gcr_word=${gcr_hint:+'trying again before that will not help'}
        gcr_word=${gcr_word:-'trying again will not help'}
    else
        gcr_word="try again in $gcr_retry_after s"
        [ -n "$gcr_retry_after" ] || gcr_word='trying again may help'
    fi
    gcr_name=$gcr_protocol://$gcr_host${gcr_path:+/$gcr_path}
    gcr_tell "no credential for $gcr_name: $gcr_message" "$gcr_code" "$gcr_hint" "$gcr_word"
    [ -z "$gcr_details" ] || printf 'git-credential-relay: details: %s\n' "$gcr_details" >&2
}

# Socket mode: lead gh to the sidecar, which puts the token in; unless gh is to use the user's own.
gcr_lead_to_socket() {
    gcr_has_own github.com && return
    gcr_has_own '' && return
    [ -z "${GH_CONFIG_DIR-}" ] || return 0
    gcr_tell_no_socket "$GCR_GH_SOCKET" --gh-socket
    # An empty one, or a template's, would stand in front of the placeholder.
    unset CODESPACES GH_TOKEN GITHUB_TOKEN GH_ENTERPRISE_TOKEN GITHUB_ENTERPRISE_TOKEN
    GH_CONFIG_DIR=$GCR_GH_CONFIG_DIR
    export GH_CONFIG_DIR
}

# Token mode: a token for github.com in GH_TOKEN, the one variable that gh binds to a host.
gcr_set_token() {
    gcr_has_own github.com && return
    # In a codespace older ones of gh show GITHUB_TOKEN to any host (CVE-2024-53858).
    unset CODESPACES
    gcr_ask_git_for_remotes
    gcr_choose_place
    if [ "$gcr_host" != github.com ]; then
        case " $GCR_GITHUB_HOSTS " in
            *" $gcr_host "*)
                gcr_tell "gh gets no token for $gcr_host by a variable" no-token \
                    'have install set up gh with --gh-socket' \
                    'trying again before that will not help'
                ;;
        esac
        return
    fi
    if gcr_may_go_astray "$@"; then
        gcr_tell 'gh might show a token to another host, so it gets none' no-token \
            'have install set up gh with --gh-socket' 'trying again before that will not help'
        return
    fi
    gcr_reach || return 0
    gcr_ask_credential api
    case $gcr_password in
        '') gcr_tell_no_token ;;
        *[![:graph:]]*) ;;
        *) gcr_export_token "$gcr_password" ;;
    esac
}

gcr_tell_no_token() {
    if [ -z "$gcr_code" ]; then
        gcr_tell_absence && return
        gcr_code=no-token gcr_message='the sidecar has nothing for this host'
        gcr_hint='have its GIT_CREDENTIAL_RELAY_HOSTS name the host'
    fi
    gcr_tell_failure
}

gcr_export_token() {
    GH_TOKEN=$1
    export GH_TOKEN
    if [ -n "$gcr_ours" ]; then
        GITHUB_TOKEN=$1
        export GITHUB_TOKEN
    fi
    # By the mark a gh below this one knows the token as ours, and gets a fresh one.
    if gcr_sha256 "$1"; then
        GIT_CREDENTIAL_RELAY_TOKEN_SHA256=$gcr_hash
        export GIT_CREDENTIAL_RELAY_TOKEN_SHA256
    fi
}

gcr_forget
gcr_keep_to_home
gcr_read_arguments "$@"
gcr_choose_kind
if [ "$gcr_kind" = setup-git ]; then
    printf 'git-credential-relay: %s: git asks git-credential-relay, and %s\n' \
        "\`gh auth setup-git\` left undone" "gh's own entry would stand in front of it" >&2
    exit 0
fi
gcr_find_gh
# What gh starts as "itself": for git's credentials, and what extensions call.
case $0 in
    /*)
        GH_PATH=$0
        export GH_PATH
        ;;
esac
case $gcr_kind in
    git-credential) gcr_git_credential "$@" ;;
    token)
        if [ -n "$GCR_GH_SOCKET" ]; then
            gcr_lead_to_socket
        else
            gcr_set_token "$@"
        fi
        ;;
esac
exec "$gcr_gh" "$@"
