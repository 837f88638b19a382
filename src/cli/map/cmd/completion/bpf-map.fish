# Completion of bpf-map for fish: bpf-map completion fish | source
function __bpf_map_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in (command bpf-map complete -- $words[2..-1] "$current" 2>/dev/null)
        if string match -q ':files*' -- $line
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c bpf-map -f -a '(__bpf_map_complete)'
