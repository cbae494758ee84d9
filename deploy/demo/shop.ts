import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { BaseLab } from "../lab/base-lab.js";
import { cliCommand } from "../lab/berth-commands.js";
import { LabError } from "../lab/lab-error.js";
import { REPO_ROOT } from "../lab/paths.js";
import type { Screen } from "./screen.js";

const STACK = "shop";
const COMPOSE_FILE = "deploy/stacks/shop/compose.yml";
const IMAGES = [
  { directory: "images/shop", tag: "shop:1" },
  { directory: "images/redis", tag: "shop-redis:1" },
] as const;

/** Returns the absolute path of a path in `deploy/`. */
const fromDeploy = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** The example stack of the demo. */
export const SHOP = {
  stack: STACK,
  service: `${STACK}_web`,
  port: 8080,
  /** Returns the replica's name from a reply such as "web.3 on h2: …". */
  replicaOf: (body: string): string => body.split(":", 1)[0] ?? body,
} as const;

/** Builds the stack's images, loads them onto every host, and deploys the stack with the CLI. */
export async function deployShop(screen: Screen, lab: BaseLab, signal: AbortSignal): Promise<void> {
  screen.heading("2  The stack");
  for (const { directory, tag } of IMAGES) {
    signal.throwIfAborted();
    screen.live(`building image ${tag} and loading it onto every host …`);
    await lab.loadImage(fromDeploy(directory), tag);
    screen.line(`  loaded image ${tag} onto every host`);
  }
  await runBerth(screen, lab, ["stack", "deploy", "-c", COMPOSE_FILE, STACK]);
}

/**
 * Prints a `berth` command and runs it on this terminal, with its live progress.
 *
 * @throws LabError LAB_COMMAND_FAILED if the command fails. The command has already printed the reason.
 */
async function runBerth(screen: Screen, lab: BaseLab, args: readonly string[]): Promise<void> {
  screen.command(`berth ${args.join(" ")}`);
  const code = await runOnTerminal(cliCommand(args), lab.cliEnv());
  if (code === 0) return;
  throw new LabError("LAB_COMMAND_FAILED", `berth ${args.join(" ")} failed with exit code ${code}`);
}

function runOnTerminal([program = "", ...args]: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: REPO_ROOT, env, stdio: "inherit" });
    child.on("error", reject);
    child.on("exit", (code) => resolve(code ?? 1));
  });
}
