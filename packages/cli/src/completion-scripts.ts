const BASH = `# bash completion for berth: source <(berth completion bash)
_berth() {
  local IFS=$'\\n' word="\${COMP_WORDS[COMP_CWORD]}"
  # File names where an option takes one; everything else berth knows.
  case "\${COMP_WORDS[COMP_CWORD-1]}" in
    -c|--compose-file|--env-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$word")); return ;;
  esac
  COMPREPLY=($(berth __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
  [[ "\${COMPREPLY[0]}" == *= ]] && compopt -o nospace
}
complete -F _berth berth
`;

const ZSH = `#compdef berth
# zsh completion for berth: source <(berth completion zsh)
_berth() {
  case "\${words[CURRENT-1]}" in
    -c|--compose-file|--env-file) _files; return ;;
  esac
  local -a candidates
  candidates=("\${(@f)$(berth __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -a candidates
}
compdef _berth berth
`;

const FISH = `# fish completion for berth: berth completion fish | source
function __berth_complete
  set -l words (commandline -opc) (commandline -ct)
  berth __complete $words[2..-1] 2>/dev/null
end
complete -c berth -f -a '(__berth_complete)'
complete -c berth -n '__fish_seen_subcommand_from deploy' -s c -l compose-file -r -F
complete -c berth -n '__fish_seen_subcommand_from deploy' -l env-file -r -F
`;

/** Scripts by shell. They ask `berth __complete` for everything but file names. */
export const COMPLETION_SCRIPTS: ReadonlyMap<string, string> = new Map([
  ["bash", BASH],
  ["zsh", ZSH],
  ["fish", FISH],
]);
