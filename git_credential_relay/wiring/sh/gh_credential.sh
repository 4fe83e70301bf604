# `gh auth git-credential`: git is answered in gh's place.

# Answer git in gh's place; returns for what the real gh has to answer.
gcr_git_credential() {
    case $gcr_words$gcr_third in
        3store) exit 0 ;;
        3get | 3erase) ;;
        *) return ;;
    esac
    gcr_read_request
    [ -z "$gcr_url" ] || gcr_read_url
    if [ "$gcr_protocol" = https ] && [ -n "$gcr_host" ]; then
        gcr_answer_git
    fi
    [ "$gcr_third" = get ] || exit 0
    printf %s "$gcr_request" | "$gcr_gh" "$@"
    exit $?
}

gcr_read_url() {
    gcr_protocol=${gcr_url%%://*}
    gcr_left=${gcr_url#*://}
    # Where git and gh let the authority end: behind that an @ says nothing about the host.
    gcr_host=${gcr_left%%[/?#\\]*}
    gcr_path=${gcr_left#"$gcr_host"}
    gcr_path=${gcr_path#/}
    gcr_path=${gcr_path%%[?#]*}
    gcr_host=${gcr_host##*@}
}

gcr_answer_git() {
    gcr_has_own "$gcr_host" && return
    gcr_reach || exit "$gcr_exit"
    if [ "$gcr_third" = erase ]; then
        gcr_put_question "${gcr_password:+password=$gcr_password$gcr_newline}use=git"
        gcr_ask "$gcr_question" erase
        exit 0
    fi
    gcr_ask_credential git
    if [ -z "$gcr_password$gcr_code" ] && [ -n "$gcr_path" ]; then
        # gh takes no notice of a path; one that names no repository must not cost the answer.
        gcr_path=
        gcr_ask_credential git
    fi
    if [ -n "$gcr_password" ]; then
        printf 'protocol=%s\nhost=%s\nusername=%s\npassword=%s\n' \
            "$gcr_protocol" "$gcr_host" "$gcr_username" "$gcr_password"
        exit 0
    elif [ -n "$gcr_code" ]; then
        gcr_tell_failure
        exit "$gcr_exit"
    fi
    case " $GCR_GITHUB_HOSTS " in
        *" $gcr_host "*) ! gcr_tell_absence || exit "$gcr_exit" ;;
    esac
}
