import type { Hook } from "../../gen/berth/v1/spec.js";
import type { Report } from "./violation.js";

/** Maximum number of hooks. The hooks of a container run one after another, within one deadline. */
const MAX_HOOKS = 32;

/** Checks the hooks of one kind. */
export function validateHooks(hooks: readonly Hook[], path: string, report: Report): void {
  if (hooks.length > MAX_HOOKS) report(path, `too many hooks (${hooks.length}, maximum ${MAX_HOOKS})`);
  hooks.forEach(({ command, workingDir, env }, index) => {
    const hookPath = `${path}[${index}]`;
    if (command.length === 0 || command[0] === "") report(`${hookPath}.command`, "the hook has no command");
    if (workingDir !== "" && !workingDir.startsWith("/")) {
      report(`${hookPath}.working_dir`, `${JSON.stringify(workingDir)} is not an absolute path`);
    }
    env.forEach((entry, entryIndex) => {
      const problem = envProblem(entry);
      if (problem !== undefined) report(`${hookPath}.env[${entryIndex}]`, problem);
    });
  });
}

/** Returns why an environment variable is invalid, or undefined if it is `KEY=VALUE`. */
export function envProblem(entry: string): string | undefined {
  if (entry.startsWith("=") || !entry.includes("=")) {
    return `${JSON.stringify(entry.slice(0, 40))} is not KEY=VALUE`;
  }
  return entry.includes("\0") ? "an environment variable cannot hold a NUL byte" : undefined;
}
