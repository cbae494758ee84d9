const BASH_SCRIPT = `# bash completion for berth: source <(berth completion bash)
_berth() {
  # COMP_WORDS is split at ":" and "=", which are part of berth's arguments.
  local line="\${COMP_LINE:0:COMP_POINT}" words
  read -ra words <<< "$line"
  [[ "$line" == *[[:space:]] ]] && words+=("")
  local IFS=$'\\n' last=$((\${#words[@]} - 1))
  # Options that take a file name.
  case "\${words[last-1]}" in
    -c|--compose-file|--env-file|--invitation-file)
      compopt -o filenames; COMPREPLY=($(compgen -f -- "\${words[last]}")); return ;;
  esac
  COMPREPLY=($(berth __complete "\${words[@]:1}" 2>/dev/null))
  [[ "\${COMPREPLY[0]}" == *= ]] && compopt -o nospace
}
complete -F _berth berth
`;

const ZSH_SCRIPT = `#compdef berth
# zsh completion for berth: source <(berth completion zsh)
_berth() {
  case "\${words[CURRENT-1]}" in
    -c|--compose-file|--env-file|--invitation-file) _files; return ;;
  esac
  local -a candidates
  candidates=(\${(f)"$(berth __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if [[ "$candidates[1]" == *= ]]; then compadd -S '' -a candidates; else compadd -a candidates; fi
}
# zsh calls the function when this file is in the fpath. When it is sourced, only define the function.
if [[ "$funcstack[1]" == _berth ]]; then _berth "$@"; else compdef _berth berth; fi
`;

const FISH_SCRIPT = `# fish completion for berth: berth completion fish | source
function __berth_complete
  set -l words (commandline -opc) (commandline -ct)
  berth __complete $words[2..-1] 2>/dev/null
end
complete -c berth -f -a '(__berth_complete)'
complete -c berth -n '__fish_seen_subcommand_from deploy' -s c -l compose-file -r -F
complete -c berth -n '__fish_seen_subcommand_from deploy' -l env-file -r -F
complete -c berth -n '__fish_seen_subcommand_from create' -l invitation-file -r -F
`;

/** Completion scripts by shell. They call `berth __complete` for everything except file names. */
export const COMPLETION_SCRIPTS: ReadonlyMap<string, string> = new Map([
  ["bash", BASH_SCRIPT],
  ["zsh", ZSH_SCRIPT],
  ["fish", FISH_SCRIPT],
]);
