import type { Command, Option } from "commander";

/** Commands whose first argument is followed by the command to run in a container. */
const EXECUTING_COMMANDS: readonly string[] = ["exec", "run", "service create"];

/**
 * Inserts `--` after the first argument of `berth exec`, `berth run` and `berth service create`, so that all later
 * arguments belong to the command in the container, as with Docker. Without it, commander would parse the `-o` of
 * `berth exec web.1 ls -o` as an option of berth.
 */
export function terminateExecOptions(argv: readonly string[], program: Command): readonly string[] {
  let command = program;
  let path = "";
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? "";
    if (argument === "--") return argv;
    if (argument.startsWith("-") && argument !== "-") {
      if (takesNextArgument(argument, [...program.options, ...command.options])) index += 1;
      continue;
    }
    if (EXECUTING_COMMANDS.includes(path)) {
      return [...argv.slice(0, index + 1), "--", ...argv.slice(index + 1)];
    }
    const next = command.commands.find((candidate) => candidate.name() === argument);
    if (next === undefined) return argv;
    command = next;
    path = path === "" ? argument : `${path} ${argument}`;
  }
  return argv;
}

/** Returns whether an option's value is the next argument: `-u root`, `--user root`, `-tu root`, but not `-uroot`. */
function takesNextArgument(argument: string, options: readonly Option[]): boolean {
  if (argument.startsWith("--")) return options.some(({ long, required }) => long === argument && required);
  for (let index = 1; index < argument.length; index++) {
    const option = options.find(({ short }) => short === `-${argument[index]}`);
    if (option?.required) return index === argument.length - 1;
  }
  return false;
}
