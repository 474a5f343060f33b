# Completion of memtrace and memtrace-report in fish. What is offered is what --help names.

function __memtrace_offers
    set -l words (commandline -opc)
    contains -- -- $words; and return  # after `--` comes another program
    set -l command $words[1]
    set -l help ($command --help 2>/dev/null)
    for word in $words[2..-1]
        string match -qr -- "^  $word " $help; and string match -qr '^[a-z]+$' -- $word; or break
        set -a command $word
        set help ($command --help 2>/dev/null)
    end
    set -l listed 0
    for line in $help
        string match -q 'Subcommands:*' -- $line; and set listed 1
        set -l found (string match -r '^  (-\S+)(?: [A-Z|a-z]\S*)?(?: {2,}(.*))?' -- $line)
        if test $listed = 1
            set found (string match -r '^  ([a-z]+) +(.*)' -- $line)
        end
        set -q found[2]; or continue
        for name in (string split , -- $found[2])
            printf '%s\t%s\n' $name "$found[3]"
        end
    end
end

complete -c memtrace -a '(__memtrace_offers)'
complete -c memtrace-report -a '(__memtrace_offers)'
