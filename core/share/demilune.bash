# Made by core/share/make.lua. Not to be edited.

_demilune_files() { # -f files, -d folders; only these are quoted and get a slash, a command's name does not
    mapfile -t COMPREPLY < <(compgen "$1" -- "$word")
    compopt -o filenames 2>/dev/null
}

_demilune() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} options= place=0 i
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        COMPREPLY=($(compgen -W "run check routes match plugins schema new test bench health version help --help" -- "$word"))
        return
    fi
    if [ "$word" = = ]; then # --config=FILE comes as three words
        word=
    elif [ "$before" = = ]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $before in
    -c | --config)
        _demilune_files -f
        return
        ;;
    --workers)
        return
        ;;
    -H | --header)
        return
        ;;
    --dir)
        _demilune_files -d
        return
        ;;
    esac
    for ((i = 2; i <= COMP_CWORD; i++)); do # which argument this is, options and their values not counted
        case ${COMP_WORDS[i]} in
        -c | --config | --workers | -H | --header | --dir)
            [ "${COMP_WORDS[i + 1]}" != = ] || i=$((i + 1))
            i=$((i + 1))
            ;;
        -*) ;;
        *) place=$((place + 1)) ;;
        esac
    done
    case ${COMP_WORDS[1]} in
    run)
        options="--config -c --workers --dev --help -h"
        ;;
    check)
        options="--config -c --help -h"
        ;;
    routes)
        options="--config -c --help -h"
        ;;
    match)
        options="--config -c --header -H --help -h"
        [ $place != 1 ] || COMPREPLY=($(compgen -W "GET HEAD POST PUT PATCH DELETE OPTIONS" -- "$word"))
        ;;
    plugins)
        options="--config -c --help -h"
        [ $place != 1 ] || COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" plugins 2>/dev/null | awk 'NR > 1 { print $1 }')" -- "$word"))
        ;;
    schema)
        options="--config -c --help -h"
        ;;
    new)
        options="--dir --help -h"
        [ $place != 1 ] || COMPREPLY=($(compgen -W "plugin" -- "$word"))
        ;;
    test)
        options="--watch --help"
        _demilune_files -f
        ;;
    bench)
        options="--config -c --header -H --help -h"
        [ $place != 1 ] || COMPREPLY=($(compgen -W "GET HEAD POST PUT PATCH DELETE OPTIONS" -- "$word"))
        ;;
    health)
        options="--config -c --help -h"
        ;;
    version)
        options="--help -h"
        ;;
    help) COMPREPLY=($(compgen -W "run check routes match plugins schema new test bench health version" -- "$word")) ;;
    esac
    [[ $word != -* ]] || COMPREPLY=($(compgen -W "$options" -- "$word"))
}
complete -F _demilune demilune
