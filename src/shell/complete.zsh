#compdef alga-release
# Completion of alga-release for zsh: source this file after compinit, or save it as _alga-release in a directory of $fpath.

_alga-release() {
    local -a described joined
    local line value help files=''
    for line in "${(@f)$("${words[1]}" complete -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
        [[ -n $line ]] || continue
        value=${line%%$'\t'*}
        help=${line#*$'\t'}
        if [[ $value == :files ]]; then
            files=yes
            continue
        fi
        if [[ $value == *[=:] ]]; then
            joined+=("${value//:/\\:}:$help")
        else
            described+=("${value//:/\\:}:$help")
        fi
    done
    local result=1
    (( $#described )) && _describe -V alga-release described && result=0
    (( $#joined )) && _describe -V alga-release joined -S '' && result=0
    if [[ -n $files ]]; then
        # After `--flag=`, only what follows is a path.
        compset -P '--*='
        _files && result=0
    fi
    return $result
}

if [[ $funcstack[1] == _alga-release ]]; then
    _alga-release "$@"
else
    compdef _alga-release alga-release
fi
