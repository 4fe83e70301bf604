# What gh finds in its environment: tokens of ours and of the user's, and a home.

# Set gcr_hash to the base64 SHA-256 of $1; empty where nothing here can tell it.
gcr_sha256() {
    gcr_hash=
    gcr_find sha256sum || return 1
    gcr_sha256sum=$gcr_found
    gcr_hex=$(printf %s "$1" | "$gcr_sha256sum" 2>/dev/null)
    gcr_hex=${gcr_hex%% *}
    [ ${#gcr_hex} -eq 64 ] || return 1
    gcr_octal=
    # Three digits are two characters of base64; 64 digits leave one.
    while [ ${#gcr_hex} -gt 1 ]; do
        gcr_left=${gcr_hex#???}
        gcr_number=$((0x${gcr_hex%"$gcr_left"}))
        gcr_add_base64 $((gcr_number / 64))
        gcr_add_base64 $((gcr_number % 64))
        gcr_hex=$gcr_left
    done
    gcr_add_base64 $((0x$gcr_hex * 4))
    gcr_hash=$(printf %b "$gcr_octal")=
}

# Append the character of base64 for the six bits in $1, as an octal escape.
gcr_add_base64() {
    if [ "$1" -lt 26 ]; then
        gcr_count=$(($1 + 65))
    elif [ "$1" -lt 52 ]; then
        gcr_count=$(($1 + 71))
    elif [ "$1" -lt 62 ]; then
        gcr_count=$(($1 - 4))
    else
        gcr_count=$(($1 * 4 - 205)) # + and /
    fi
    gcr_octal=$gcr_octal\\0$((gcr_count / 64))$((gcr_count / 8 % 8))$((gcr_count % 8))
}

# $1 is a value; templates leave the latter two behind when nobody filled them in.
gcr_is_set() {
    case $1 in
        '' | null | seed-me) return 1 ;;
    esac
}

# $1 is the token that an earlier call of ours left in the environment, by the mark beside it.
gcr_is_ours() {
    [ -n "${GIT_CREDENTIAL_RELAY_TOKEN_SHA256-}" ] && gcr_is_set "$1" && gcr_sha256 "$1" &&
        [ "$gcr_hash" = "$GIT_CREDENTIAL_RELAY_TOKEN_SHA256" ]
}

# Take out of the environment what an earlier call of ours put there.
gcr_forget() {
    gcr_ours=
    if gcr_is_ours "${GITHUB_TOKEN-}"; then
        gcr_ours=GITHUB_TOKEN
        unset GITHUB_TOKEN
    fi
    if gcr_is_ours "${GH_TOKEN-}"; then
        unset GH_TOKEN
    fi
    unset GIT_CREDENTIAL_RELAY_TOKEN_SHA256
    case ${GH_CONFIG_DIR-} in
        "$GCR_GH_CONFIG_DIR") unset GH_CONFIG_DIR ;;
    esac
}

# Without HOME, or with a relative path, gh takes settings, aliases and extensions from the
# directory it stands in: whoever wrote the work tree would run commands with our token.
gcr_keep_to_home() {
    case ${GH_CONFIG_DIR-/} in '' | /*) ;; *) unset GH_CONFIG_DIR ;; esac
    case ${GLAB_CONFIG_DIR-/} in '' | /*) ;; *) unset GLAB_CONFIG_DIR ;; esac
    case ${XDG_CACHE_HOME-/} in '' | /*) ;; *) unset XDG_CACHE_HOME ;; esac
    case ${XDG_CONFIG_HOME-/} in '' | /*) ;; *) unset XDG_CONFIG_HOME ;; esac
    case ${XDG_DATA_HOME-/} in '' | /*) ;; *) unset XDG_DATA_HOME ;; esac
    case ${XDG_STATE_HOME-/} in '' | /*) ;; *) unset XDG_STATE_HOME ;; esac
    case ${HOME-} in
        /*) ;;
        *)
            gcr_find_home
            HOME=$gcr_home
            export HOME
            ;;
    esac
}

# Set gcr_home to the user's home in the system's list of users; / for somebody not in it.
gcr_find_home() {
    gcr_home=/ gcr_uid=
    while read -r gcr_name gcr_word gcr_left; do
        [ "$gcr_name" = Uid: ] && gcr_uid=$gcr_word
    done 2>/dev/null </proc/self/status
    [ -n "$gcr_uid" ] || return 0
    while IFS=: read -r gcr_name gcr_word gcr_number gcr_left; do
        if [ "$gcr_number" = "$gcr_uid" ]; then
            gcr_home=${gcr_left#*:*:}
            gcr_home=${gcr_home%%:*}
            break
        fi
    done 2>/dev/null </etc/passwd
    case $gcr_home in /*) ;; *) gcr_home=/ ;; esac
}

# Whether the user has set a token, or a directory of settings, that gh is to use at the host $1.
gcr_has_own() {
    case $1 in
        # GITHUB_TOKEN is what images and workflows leave behind; GH_TOKEN is set for gh.
        github.com) gcr_is_set "${GH_TOKEN-}" ;;
        *) gcr_is_set "${GH_ENTERPRISE_TOKEN-}" || gcr_is_set "${GITHUB_ENTERPRISE_TOKEN-}" ;;
    esac
}
