import type { Command, Option } from "commander";

const COMMAND = "exec";

/**
 * Inserts `--` after the target of `berth exec`, so that all later arguments belong to the command in the container, as
 * with `docker exec`. Without it, commander would parse the `-o` of `berth exec web.1 ls -o` as an option of berth.
 */
export function terminateExecOptions(argv: readonly string[], program: Command): readonly string[] {
  const exec = program.commands.find((command) => command.name() === COMMAND);
  const options = [...program.options, ...(exec?.options ?? [])];
  let operands = 0;
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? "";
    if (argument === "--") return argv;
    if (argument.startsWith("-") && argument !== "-") {
      if (takesNextArgument(argument, options)) index += 1;
      continue;
    }
    operands += 1;
    if (operands === 1 && argument !== COMMAND) return argv;
    if (operands === 2) return [...argv.slice(0, index + 1), "--", ...argv.slice(index + 1)];
  }
  return argv;
}

/** Whether an option's value is the next argument: `-u root`, `--user root`, `-tu root`, but not `-uroot`. */
function takesNextArgument(argument: string, options: readonly Option[]): boolean {
  if (argument.startsWith("--")) return options.some(({ long, required }) => long === argument && required);
  for (let index = 1; index < argument.length; index++) {
    const option = options.find(({ short }) => short === `-${argument[index]}`);
    if (option?.required) return index === argument.length - 1;
  }
  return false;
}
