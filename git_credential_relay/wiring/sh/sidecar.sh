# Asking the sidecar. Git's own client of credential-cache passes on what it is given and prints
# what comes back, so it asks our questions too.

# None of these may have come in with the environment: gh and its children would get what is
# assigned to them here, a token among it.
unset gcr_answer gcr_code gcr_command gcr_config gcr_count gcr_depth gcr_details gcr_dir \
    gcr_exit gcr_found gcr_gh gcr_git gcr_hash gcr_hex gcr_hint gcr_home gcr_host \
    gcr_hostname gcr_kind gcr_left gcr_line gcr_message gcr_name gcr_newline gcr_number gcr_octal \
    gcr_ours gcr_password gcr_path gcr_protocol gcr_question gcr_remotes gcr_repository \
    gcr_request gcr_retry_after gcr_retryable gcr_second gcr_sha256sum gcr_socket gcr_third \
    gcr_uid gcr_url gcr_username gcr_vague gcr_wants_help gcr_word gcr_words
set -fu
unset IFS
gcr_newline='
'

# An error as messages.py tells it: what happened, its code, what to do, whether to try again.
gcr_tell() {
    printf 'git-credential-relay: error: %s [%s] (%s)\n' "$1" "$2" "${3:+hint: $3; }$4" >&2
}

# $1 is a regular file that may be run.
gcr_is_program() {
    [ -f "$1" ] && [ -x "$1" ]
}

# $1 is a launcher of ours, shell or Python. Only scripts are read on; gh has 40 MB.
gcr_is_launcher() {
    gcr_number=0
    while [ "$gcr_number" -lt 12 ] && IFS= read -r gcr_line; do
        case $gcr_number$gcr_line in
            '0#!'*) ;;
            0*) return 1 ;;
            *"$GCR_MARK"*) return 0 ;;
        esac
        gcr_number=$((gcr_number + 1))
    done 2>/dev/null <"$1"
    return 1
}

# Set gcr_found to the first program called $1 on PATH that is no launcher of ours; what one
# displaced counts in its place. Relative directories are passed over: others wrote the work tree.
gcr_find() {
    gcr_left=${PATH:-$GCR_DEFAULT_PATH}:
    while [ -n "$gcr_left" ]; do
        gcr_dir=${gcr_left%%:*}
        gcr_left=${gcr_left#*:}
        case $gcr_dir in
            /*) ;;
            *) continue ;;
        esac
        gcr_found=$gcr_dir/$1
        gcr_is_program "$gcr_found" || continue
        gcr_is_launcher "$gcr_found" || return 0
        gcr_found=$gcr_found$GCR_DISPLACED
        gcr_is_program "$gcr_found" && ! gcr_is_launcher "$gcr_found" && return 0
    done
    gcr_found=
    return 1
}

# Set gcr_socket and gcr_git, by which the sidecar is asked. Sets gcr_exit where that fails.
gcr_reach() {
    gcr_exit=0
    gcr_socket=${GIT_CREDENTIAL_RELAY_SOCKET:-$GCR_SOCKET}
    case $gcr_socket in
        /*) ;;
        *)
            # The current directory is a work tree, which may have a socket of its own.
            gcr_exit=2
            gcr_tell 'GIT_CREDENTIAL_RELAY_SOCKET in the environment: must be an absolute path' \
                bad-config 'correct GIT_CREDENTIAL_RELAY_SOCKET' \
                'trying again before that will not help'
            return 1
            ;;
    esac
    gcr_find_git
}

# Set gcr_git to the git there was at the time of the install, or else the first one on PATH.
gcr_find_git() {
    gcr_git=$GCR_GIT
    if ! gcr_is_program "$gcr_git" && gcr_find git; then
        gcr_git=$gcr_found
    fi
}

# Print what the sidecar answers to the lines in $1; nothing where there is none. $2 is get or
# erase, never store: then git would start a daemon of its own in the sidecar's place.
gcr_ask() {
    printf '%s\n\n' "$1" | "$gcr_git" credential-cache --socket="$gcr_socket" "${2:-get}" 2>/dev/null
}

# Set gcr_answer to what people may read of the answer to the lines in $1. Git's own daemon, in
# the sidecar's place, answers every question with a password that it keeps.
gcr_ask_words() {
    gcr_answer=$(gcr_ask "$1")
    case $gcr_newline$gcr_answer in
        *"${gcr_newline}password="*) gcr_answer='' ;;
    esac
}

# Tell why the socket $1 cannot be asked, and set gcr_exit; fails where it can. $2 is the option
# by which the sidecar gets that socket.
gcr_tell_no_socket() {
    if ! [ -S "$1" ]; then
        gcr_exit=75
        gcr_tell "there is no sidecar at $1" sidecar-unreachable \
            "start it: git-credential-relay sidecar${2:+ $2 $1}" 'trying again may help'
    elif ! [ -w "$1" ]; then
        gcr_exit=1
        gcr_tell "the sidecar's socket $1 is closed to this user" sidecar-refused \
            'have its GIT_CREDENTIAL_RELAY_ALLOW_UIDS name this uid' \
            'trying again before that will not help'
    else
        return 1
    fi
}

# Tell why there is no answer, and set gcr_exit; fails where the sidecar does answer.
gcr_tell_absence() {
    gcr_exit=75
    if ! [ -x "$gcr_git" ]; then
        gcr_exit=1
        gcr_tell 'there is no git here' git-missing 'install git' \
            'trying again before that will not help'
    elif gcr_tell_no_socket "$gcr_socket"; then
        :
    elif gcr_ask_words relay=status && [ -z "$gcr_answer" ]; then
        gcr_tell "the sidecar at $gcr_socket does not answer this user" sidecar-unreachable \
            'start it, or have its GIT_CREDENTIAL_RELAY_ALLOW_UIDS name this uid' \
            'trying again may help'
    else
        gcr_exit=0
        return 1
    fi
}

# Read a request from stdin: gcr_protocol, gcr_host, gcr_path, gcr_url, gcr_username,
# gcr_password, and all of it in gcr_request.
# shellcheck disable=SC2034 # each program has its own use for them
gcr_read_request() {
    gcr_protocol='' gcr_host='' gcr_path='' gcr_url='' gcr_username='' gcr_password='' gcr_request=''
    while IFS= read -r gcr_line || [ -n "$gcr_line" ]; do
        [ -n "$gcr_line" ] || break
        case $gcr_line in
            protocol=*) gcr_protocol=${gcr_line#*=} ;;
            host=*) gcr_host=${gcr_line#*=} ;;
            path=*) gcr_path=${gcr_line#*=} ;;
            url=*) gcr_url=${gcr_line#*=} ;;
            username=*) gcr_username=${gcr_line#*=} ;;
            password=*) gcr_password=${gcr_line#*=} ;;
        esac
        gcr_request=$gcr_request$gcr_line$gcr_newline
    done
}

# Set gcr_question to the target that was read, and what $1 adds to it. Ours come last, where
# they count, whatever stood in the request.
gcr_put_question() {
    gcr_question="protocol=$gcr_protocol${gcr_newline}host=$gcr_host${gcr_newline}"
    gcr_question=$gcr_question${gcr_path:+path=$gcr_path$gcr_newline}$1
}
