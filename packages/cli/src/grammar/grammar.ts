import { type Command, Option } from "commander";
import type { Cli } from "../process/cli.js";

/** Runs a verb: its options with the global ones, then its arguments. */
export type CommandHandler = (cli: Cli, options: never, ...args: never[]) => Promise<void>;

/**
 * The action of a command. The verb's module is loaded when it runs and not before: help and completion cost
 * nothing but this grammar.
 */
export function lazyAction(
  cli: Cli,
  load: () => Promise<CommandHandler>,
): (...args: unknown[]) => Promise<void> {
  return async (...args) => {
    // Commander gives the arguments, then the options, then the command.
    const command = args.at(-1) as Command;
    const verb = (await load()) as (cli: Cli, options: unknown, ...args: unknown[]) => Promise<void>;
    await verb(cli, command.optsWithGlobals(), ...args.slice(0, -2));
  };
}

/** Adds examples at the end of a command's help. */
export function addExamples(command: Command, lines: readonly string[]): Command {
  return command.addHelpText("after", `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}\n`);
}

/** An option that may be given several times. */
export function repeatableOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser((value: string, earlier: readonly string[] | undefined) => [
    ...(earlier ?? []),
    value,
  ]);
}

const DEFAULT_TIMEOUT = "5m";

export function addWaitOptions(command: Command): Command {
  return command
    .option("-d, --detach", "return at once instead of waiting until it is done")
    .option("--timeout <duration>", "how long to wait", DEFAULT_TIMEOUT);
}

export function addTaskListOptions(command: Command): Command {
  return command
    .addOption(
      repeatableOption("-f, --filter <filter>", "only tasks that match: id=, name=, node=, desired-state="),
    )
    .option("--no-trunc", "show ids and errors whole")
    .option("--no-resolve", "show ids instead of names")
    .option("-q, --quiet", "only ids");
}

export function addServiceListOptions(command: Command): Command {
  return command
    .addOption(
      repeatableOption(
        "-f, --filter <filter>",
        "only services that match: id=, name=, mode=, label=, stack=",
      ),
    )
    .option("-q, --quiet", "only ids");
}
