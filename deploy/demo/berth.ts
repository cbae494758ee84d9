import { spawn } from "node:child_process";
import { cliCommand } from "../lab/berth-commands.js";
import type { Lab } from "../lab/lab.js";
import { LabError } from "../lab/lab-error.js";
import { REPO_ROOT } from "../lab/paths.js";
import type { Screen } from "./screen.js";

/**
 * Shows a `berth` command as a person would type it and runs it on this terminal, live progress and all.
 *
 * @throws LabError LAB_COMMAND_FAILED when it does not end with exit code 0; its own words are on the screen.
 */
export async function berth(screen: Screen, lab: Lab, args: readonly string[]): Promise<void> {
  screen.command(`berth ${args.join(" ")}`);
  const code = await runHere(cliCommand(args), { ...process.env, BERTH_SERVER: lab.serverAddress });
  if (code === 0) return;
  throw new LabError("LAB_COMMAND_FAILED", `berth ${args.join(" ")} ended with exit code ${code}`);
}

function runHere([program = "", ...args]: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: REPO_ROOT, env, stdio: "inherit" });
    child.on("error", reject);
    child.on("exit", (code) => resolve(code ?? 1));
  });
}
