import type { Command, Option } from "commander";

const COMMAND = "exec";

/**
 * Marks where the options of `berth exec` end, after its target: what follows belongs to the command that is run, as in
 * `docker exec`. Commander would take `ls -o` of `berth exec web.1 ls -o` for an option of its own.
 */
export function terminateExecOptions(argv: readonly string[], program: Command): readonly string[] {
  const exec = program.commands.find((command) => command.name() === COMMAND);
  const options = [...program.options, ...(exec?.options ?? [])];
  let operands = 0;
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? "";
    if (word === "--") return argv;
    if (word.startsWith("-") && word !== "-") {
      if (takesNextArgument(word, options)) at += 1;
      continue;
    }
    operands += 1;
    if (operands === 1 && word !== COMMAND) return argv;
    if (operands === 2) return [...argv.slice(0, at + 1), "--", ...argv.slice(at + 1)];
  }
  return argv;
}

/** `-u root`, `--user root`, `-tu root`; not `-uroot`, `--user=root`. */
function takesNextArgument(word: string, options: readonly Option[]): boolean {
  if (word.startsWith("--")) return options.some(({ long, required }) => long === word && required);
  for (let at = 1; at < word.length; at++) {
    const option = options.find(({ short }) => short === `-${word[at]}`);
    if (option?.required) return at === word.length - 1;
  }
  return false;
}
