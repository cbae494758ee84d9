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
  const lines: string[] = [];
  for (const name of envFile) {
    const { bytes } = await readInput(cli, name);
    const text = Buffer.from(bytes).toString();
    // As in Docker, quotes are part of the value.
    lines.push(...text.split(/\r?\n/).filter((line) => line.trim() !== "" && !line.startsWith("#")));
  }
  return [...lines, ...env].flatMap((variable) => resolveVariable(variable, cli.env));
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
