import { type Command, Option } from "commander";
import { UPDATE_FLAGS, type UpdateFlag } from "../commands/service/update/flags.js";
import { repeatableOption } from "./grammar.js";

/** Gives a command all the flags that change a service. */
export function addUpdateFlags(command: Command): Command {
  for (const [name, flag] of Object.entries<UpdateFlag>(UPDATE_FLAGS)) {
    for (const option of optionsOf(name, flag)) command.addOption(option);
  }
  return command;
}

function optionsOf(name: string, flag: UpdateFlag): readonly Option[] {
  const { value, description, isRepeatable, choices } = flag;
  if (value === undefined) {
    const isNegation = name.startsWith("no-");
    const off = isNegation ? [] : [new Option(`--no-${name}`, `undo --${name}`)];
    return [new Option(`--${name}`, description), ...off];
  }
  const words = `--${name} <${value}>`;
  if (isRepeatable) return [repeatableOption(words, description)];
  const option = new Option(words, description);
  return [choices === undefined ? option : option.choices(choices)];
}
