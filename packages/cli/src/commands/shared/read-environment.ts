import { BerthError } from "@berth/proto";
import { invalidOptionError } from "../../options/parse-options.js";
import type { Cli } from "../../process/cli.js";
import { readInput } from "./input-files.js";

/** The options that set the environment of a container. */
export interface EnvironmentOptions {
  readonly env?: readonly string[];
  readonly envFile?: readonly string[];
}

/** Returns the variables of all `--env-file` and `--env` options as `NAME=VALUE`. The last value of a name applies. */
export async function readEnvironment(
  cli: Cli,
  { env = [], envFile = [] }: EnvironmentOptions,
): Promise<readonly string[]> {
  const variables: string[] = [];
  for (const file of envFile) {
    const { name, bytes } = await readInput(cli, file);
    variables.push(...parseVariables(name, new TextDecoder().decode(bytes)));
  }
  return [...variables, ...env].flatMap((variable) => resolveVariable(variable, cli.env));
}

/**
 * Returns the variables of a file as `NAME=VALUE` or `NAME`. As in Docker, white space before a name is dropped, and
 * quotes and white space after it are part of the value.
 *
 * @throws BerthError BERTH_INPUT_INVALID with all lines whose names are empty or contain white space
 */
function parseVariables(file: string, text: string): readonly string[] {
  const lines = text.split(/\r?\n/).map((line) => line.trimStart());
  const isVariable = (line: string): boolean => line !== "" && !line.startsWith("#");
  const problems = lines.flatMap((line, index) => {
    const isValid = !isVariable(line) || /^[^\s=]+(?:=|$)/.test(line);
    return isValid ? [] : [`${file}:${index + 1}: ${JSON.stringify(line)} is not NAME=VALUE`];
  });
  if (problems.length > 0) {
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message: problems.join("\n") });
  }
  return lines.filter(isVariable);
}

/** Resolves `-e NAME` from the environment. An unset variable is not passed to the container, as in Docker. */
export function resolveVariable(variable: string, env: Cli["env"]): readonly string[] {
  if (/^[^=]+=/.test(variable)) return [variable];
  if (variable === "" || variable.startsWith("=")) {
    throw invalidOptionError("--env", `${JSON.stringify(variable)} is not NAME=VALUE`);
  }
  const value = env[variable];
  return value === undefined ? [] : [`${variable}=${value}`];
}
