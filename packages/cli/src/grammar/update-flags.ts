import { type Command, Option } from "commander";
import { UPDATE_FLAGS, type UpdateFlag } from "../commands/service/update/flags.js";
import { repeatableOption } from "./command-options.js";

/** Adds all flags of `berth service update` that change the spec of a service. */
export function addUpdateFlags(command: Command): Command {
  for (const [name, flag] of Object.entries<UpdateFlag>(UPDATE_FLAGS)) {
    for (const option of createOptions(name, flag)) command.addOption(option);
  }
  return command;
}

function createOptions(
  name: string,
  { value, description, isRepeatable, choices }: UpdateFlag,
): readonly Option[] {
  if (value === undefined) {
    const isNegation = name.startsWith("no-");
    const negations = isNegation ? [] : [new Option(`--no-${name}`, `disable --${name}`)];
    return [new Option(`--${name}`, description), ...negations];
  }
  const usage = `--${name} <${value}>`;
  if (isRepeatable) return [repeatableOption(usage, description)];
  const option = new Option(usage, description);
  return [choices === undefined ? option : option.choices(choices)];
}
