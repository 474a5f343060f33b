# Completion of memtrace and memtrace-report in bash. What is offered is what --help names.

# Words that an option takes.
_memtrace_values() {  # OPTION
  case $1 in
    --sample) echo 1 auto ;;
    --signal) echo USR1 USR2 none ;;
    --snapshot-at) echo 80,90,95 none ;;
    --keep) echo auto always ;;
    --follow) echo fork exec fork,exec none ;;
    --command) echo 0 1 ;;
    --unwinder) echo own libunwind verify ;;
    --metric) echo live allocated peak temporary ;;
    --fail-on) echo suspect oom ;;
  esac
}

_memtrace() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local command=("${COMP_WORDS[0]/#\~/$HOME}") help subcommands word
  COMPREPLY=()
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do  # after `--` comes another program
    [[ $word == -- ]] && return
  done
  help=$("${command[@]}" --help 2>/dev/null)
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}" ''; do
    subcommands=$(sed -n '/^Subcommands:/,$ s/^  \([a-z][a-z]*\) .*/\1/p' <<<"$help")
    [[ -n $word ]] && grep -qx -- "$word" <<<"$subcommands" || break
    command+=("$word")
    help=$("${command[@]}" --help 2>/dev/null)
  done

  # Readline takes --option=value for three words.
  if [[ $current == '=' ]]; then
    previous=${COMP_WORDS[COMP_CWORD - 1]} current=
  elif [[ $previous == '=' ]]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  local values
  values=$(_memtrace_values "$previous")
  if [[ -n $values ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$values" -- "$current")
  elif [[ $current == -* ]]; then
    values=$(sed -n 's/^  \(-[^ ]*\).*/\1/p' <<<"$help" | tr ',' '\n')
    mapfile -t COMPREPLY < <(compgen -W "$values" -- "$current")
  elif [[ -n $subcommands ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$subcommands" -- "$current")
  fi  # else a file, see below
}

complete -o bashdefault -o default -F _memtrace memtrace memtrace-report
