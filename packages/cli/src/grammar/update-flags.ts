import { type Command, Option } from "commander";
import type { CreateOption } from "../commands/service/create/create-flags.js";
import { UPDATE_FLAGS, type UpdateFlag } from "../commands/service/update/flags.js";
import { repeatableOption } from "./command-options.js";

/** Adds all flags of `berth service update` that change the spec of a service. */
export function addUpdateFlags(command: Command): Command {
  for (const [name, flag] of Object.entries<UpdateFlag>(UPDATE_FLAGS)) {
    for (const option of createOptions(name, flag)) command.addOption(option);
  }
  return command;
}

/** Adds the options of a command that creates a service, which set fields of the spec. */
export function addFlagOptions(command: Command, table: readonly CreateOption[]): Command {
  for (const { name, short, ...flag } of table) {
    for (const option of createOptions(name, flag, short)) command.addOption(option);
  }
  return command;
}

function createOptions(
  name: string,
  { value, description, isRepeatable, choices }: UpdateFlag,
  short?: string,
): readonly Option[] {
  const long = short === undefined ? `--${name}` : `-${short}, --${name}`;
  if (value === undefined) {
    const isNegation = name.startsWith("no-");
    const negations = isNegation ? [] : [new Option(`--no-${name}`, `disable --${name}`)];
    return [new Option(long, description), ...negations];
  }
  const usage = `${long} <${value}>`;
  if (isRepeatable) return [repeatableOption(usage, description)];
  const option = new Option(usage, description);
  return [choices === undefined ? option : option.choices(choices)];
}
