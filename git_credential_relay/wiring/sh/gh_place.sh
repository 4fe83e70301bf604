# What gh is called for, and where it will go.

# Read gh's arguments just far enough: the first words, -R, --hostname, and whether something in
# them makes it unclear which repository is meant.
gcr_read_arguments() {
    gcr_words=0 gcr_command='' gcr_second='' gcr_third='' gcr_repository='' gcr_hostname=''
    gcr_vague='' gcr_wants_help=''
    while [ $# -gt 0 ]; do
        case $1 in
            --) break ;;
            -R | --repo)
                gcr_repository=${2-}
                [ $# -lt 2 ] || shift
                ;;
            --repo=*) gcr_repository=${1#*=} ;;
            -R?*)
                gcr_repository=${1#-R}
                gcr_repository=${gcr_repository#=}
                ;;
            --hostname)
                gcr_hostname=${2-}
                [ $# -lt 2 ] || shift
                ;;
            --hostname=*) gcr_hostname=${1#*=} ;;
            --help) gcr_wants_help=1 ;;
            -h)
                # With these it is a host, or a homepage.
                case $gcr_command in auth | config | repo) ;; *) gcr_wants_help=1 ;; esac
                ;;
            --*) ;;
            -?*R*) gcr_vague=1 ;;
            -*) ;;
            *) gcr_read_word "$1" ;;
        esac
        case $1 in *://*) gcr_vague=1 ;; esac
        shift
    done
}

gcr_read_word() {
    gcr_words=$((gcr_words + 1))
    case $gcr_words in
        1) gcr_command=$1 ;;
        2) gcr_second=$1 ;;
        3) gcr_third=$1 ;;
    esac
}

# Set gcr_kind to what there is to do for the call.
gcr_choose_kind() {
    gcr_kind=token
    case $gcr_command in
        '' | help | version | completion | __complete | __completeNoDesc | config | alias) ;;
        licenses | actions | environment | exit-codes | formatting | mintty | reference) ;;
        accessibility) ;;
        auth)
            case $gcr_second in
                status | token) return ;;
                git-credential | setup-git) gcr_kind=$gcr_second ;;
                *) gcr_kind=plain ;;
            esac
            [ -z "$gcr_wants_help" ] || gcr_kind=plain
            return
            ;;
        *)
            [ -z "$gcr_wants_help" ] || gcr_kind=plain
            return
            ;;
    esac
    gcr_kind=plain
}

# Set gcr_host to where gh will go, and gcr_path to the repository where that is beyond doubt:
# a token of the wrong one would be worse than one of all that the workspace has.
gcr_choose_place() {
    gcr_protocol=https gcr_path=''
    gcr_host=${gcr_hostname:-${GH_HOST:-github.com}}
    gcr_name=${gcr_repository:-${GH_REPO-}}
    gcr_name=${gcr_name#*://}
    case $gcr_name in
        */*/*)
            gcr_host=${gcr_name%%/*}
            gcr_host=${gcr_host##*@}
            gcr_name=${gcr_name#*/}
            ;;
    esac
    case $gcr_host in api.github.com) gcr_host=github.com ;; esac
    case $gcr_command in
        pr | issue | run | workflow | release | label | secret | variable | cache | ruleset) ;;
        *) return ;;
    esac
    [ -z "$gcr_vague" ] || return 0
    [ -n "$gcr_name" ] || gcr_read_remotes
    gcr_name=${gcr_name%.git}
    case $gcr_name in
        *[!A-Za-z0-9._/-]* | */*/* | /* | */) ;;
        */*) gcr_path=$gcr_name ;;
    esac
}

# Set gcr_name to the repository of the remote that gh prefers.
gcr_read_remotes() {
    gcr_count=0
    gcr_left=$gcr_remotes
    while [ -n "$gcr_left" ]; do
        gcr_line=${gcr_left%%"$gcr_newline"*}
        gcr_left=${gcr_left#*"$gcr_newline"}
        gcr_url=${gcr_line#* }
        case $gcr_line in
            *.gh-resolved\ *) # chosen with `gh repo set-default`: gh's own affair
                gcr_name=
                return
                ;;
            remote.upstream.url\ *) gcr_number=3 ;;
            remote.github.url\ *) gcr_number=2 ;;
            remote.origin.url\ *) gcr_number=1 ;;
            *) continue ;;
        esac
        case $gcr_url in
            https://github.com/* | https://*@github.com/*) gcr_url=${gcr_url#https://*/} ;;
            git@github.com:*) gcr_url=${gcr_url#*:} ;;
            ssh://git@github.com/*) gcr_url=${gcr_url#ssh://*/} ;;
            *) continue ;;
        esac
        if [ "$gcr_number" -gt "$gcr_count" ]; then
            gcr_count=$gcr_number
            gcr_name=${gcr_url%/}
        fi
    done
}

# Set gcr_remotes to the lines of git's configuration about remotes.
gcr_ask_git_for_remotes() {
    gcr_find_git
    gcr_remotes=$("$gcr_git" config --get-regexp \
        '^(remote\..*\.(url|gh-resolved)|url\..*\.insteadof)$' 2>/dev/null </dev/null)
    gcr_remotes=${gcr_remotes:+$gcr_remotes$gcr_newline}
}

# Whether gh may show GH_TOKEN to another host than github.com. It takes that variable for a few
# more; arguments, variables, remotes, aliases and logins of the user's own may lead it there.
gcr_may_go_astray() {
    gcr_mentions_another_taker "$* ${GH_REPO-} ${GH_HOST-} $gcr_remotes" && return
    gcr_config=${XDG_CONFIG_HOME:-$HOME/.config}/gh
    gcr_config=${GH_CONFIG_DIR:-$gcr_config}
    gcr_file_goes_astray "$gcr_config/config.yml" || gcr_file_goes_astray "$gcr_config/hosts.yml"
}

gcr_file_goes_astray() {
    [ -f "$1" ] || return 1
    while IFS= read -r gcr_line || [ -n "$gcr_line" ]; do
        gcr_mentions_another_taker "$gcr_line" && return
    done 2>/dev/null <"$1"
    return 1
}

gcr_mentions_another_taker() {
    case $1 in
        *.[gG][hH][eE].[cC][oO][mM]*) return 0 ;;
        *[gG][iI][tT][hH][uU][bB].[lL][oO][cC][aA][lL][hH][oO][sS][tT]*) return 0 ;;
    esac
    return 1
}
