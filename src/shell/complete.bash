# Completion of alga-release for bash: source this file, or copy it to the directory of bash-completion.

_alga_release() {
    local rest=${COMP_LINE:0:COMP_POINT} trimmed word i current value help prefix
    local words=()
    # bash splits words at `:`, `=` and `@`. Parts without blanks between them are one word.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        trimmed=${rest#"${rest%%[![:space:]]*}"}
        if ((i == COMP_CWORD)); then word=$trimmed; else word=${COMP_WORDS[i]}; fi
        if ((i == 0)) || [[ $trimmed != "$rest" ]]; then
            words+=("$word")
        else
            words[${#words[@]} - 1]+=$word
        fi
        rest=${trimmed#"$word"}
    done
    for i in "${!words[@]}"; do
        words[i]=${words[i]//[\"\']/}
    done
    current=${words[${#words[@]} - 1]}
    # bash replaces only the last part of the word.
    prefix=${current%"$2"}
    COMPREPLY=()
    while IFS=$'\t' read -r value help; do
        if [[ $value == :files ]]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r value; do
                COMPREPLY+=("$value")
            done < <(compgen -f -- "$2")
            continue
        fi
        [[ $value == *[=:] ]] && compopt -o nospace 2>/dev/null
        COMPREPLY+=("${value#"$prefix"}")
    done < <("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null)
}

complete -o nosort -F _alga_release alga-release 2>/dev/null || complete -F _alga_release alga-release
