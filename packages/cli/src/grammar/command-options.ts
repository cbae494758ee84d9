import { type Command, Option } from "commander";
import type { Cli } from "../process/cli.js";

/** Runs a command. Takes the options, including the global ones, then the arguments. */
export type CommandHandler = (cli: Cli, options: never, ...args: never[]) => Promise<void>;

/**
 * Returns the action of a command. The action imports the handler's module when the command runs, so that help and
 * shell completion load only the grammar.
 */
export function lazyAction(
  cli: Cli,
  load: () => Promise<CommandHandler>,
): (...args: unknown[]) => Promise<void> {
  return async (...args) => {
    // Commander passes the arguments, then the options, then the command.
    const command = args.at(-1) as Command;
    const handler = (await load()) as (cli: Cli, options: unknown, ...args: unknown[]) => Promise<void>;
    await handler(cli, command.optsWithGlobals(), ...args.slice(0, -2));
  };
}

/** Appends examples to the help of a command. */
export function addExamples(command: Command, lines: readonly string[]): Command {
  return command.addHelpText("after", `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}\n`);
}

/** Creates an option that can be repeated. Its value is the list of all values. */
export function repeatableOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser((value: string, earlier: readonly string[] | undefined) => [
    ...(earlier ?? []),
    value,
  ]);
}

/** An option of Docker's command that berth's command does not have. */
export interface RefusedOption {
  /** The flags as Docker defines them, such as "-p, --publish <port>". */
  readonly flags: string;
  /** Why berth does not have it, and what to use instead. */
  readonly reason: string;
}

/** Makes a command refuse options with their reasons, instead of calling them unknown. Help does not list them. */
export function addRefusedOptions(command: Command, options: readonly RefusedOption[]): Command {
  for (const { flags, reason } of options) {
    const option = new Option(flags).hideHelp();
    command.addOption(option);
    command.on(`option:${option.name()}`, () =>
      command.error(`error: option '--${option.name()}' is not supported: ${reason}`),
    );
  }
  return command;
}

const DEFAULT_TIMEOUT = "5m";

/** Adds `--detach` and `--timeout`, for commands that wait for convergence. */
export function addWaitOptions(command: Command): Command {
  return command
    .option("-d, --detach", "exit immediately instead of waiting for convergence")
    .option("--timeout <duration>", "maximum time to wait", DEFAULT_TIMEOUT);
}

/** Adds the options of commands that list tasks. */
export function addTaskListOptions(command: Command): Command {
  return command
    .addOption(filterOption(["id", "name", "node", "desired-state"]))
    .option("--no-trunc", "do not truncate output")
    .option("--no-resolve", "do not map IDs to names")
    .option("-q, --quiet", "only display task IDs");
}

/** Adds the options of commands that list services. */
export function addServiceListOptions(command: Command): Command {
  return command
    .addOption(filterOption(["id", "name", "mode", "label", "stack"]))
    .option("-q, --quiet", "only display service IDs");
}

/** Creates the option `--filter NAME=VALUE` for these names. */
export function filterOption(names: readonly string[]): Option {
  const keys = names.map((name) => `${name}=`).join(", ");
  return repeatableOption("-f, --filter <filter>", `filter output based on conditions: ${keys}`);
}

/**
 * Creates `--resolve-image`.
 *
 * @param defaultText the behavior without the option, for the help
 */
export function resolveImageOption(defaultText: string): Option {
  return new Option(
    "--resolve-image <mode>",
    `query the registry to resolve image tags to digests (default: ${defaultText})`,
  ).choices(["always", "changed", "never"]);
}
