# Completion of alga-release for fish: source this file, or save it as ~/.config/fish/completions/alga-release.fish.

function __alga_release_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] complete -- $words[2..-1] $current 2>/dev/null)
        if string match -q -- ':files*' $line
            # After `--flag=`, only what follows is a path.
            set -l flag (string match -r -- '^--[^=]*=' $current)
            for path in (__fish_complete_path (string replace -- "$flag" '' $current))
                echo "$flag$path"
            end
        else
            echo $line
        end
    end
end

complete -c alga-release -e
complete -c alga-release -f -k -a '(__alga_release_complete)'
