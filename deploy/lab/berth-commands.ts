import { join } from "node:path";
import { REPO_ROOT } from "./paths.js";

/** Control plane and agents. */
export const SERVER_PORT = 7400;
/** Health and metrics. */
export const SERVER_HTTP_PORT = 7401;

/** One program for everything: CLI, server and agent. */
const BERTH = [process.execPath, join(REPO_ROOT, "packages/cli/bin/berth.js")] as const;

export function serverCommand(options: { readonly address: string; readonly dataDir: string }): string[] {
  const { address, dataDir } = options;
  return [
    ...BERTH,
    "server",
    "--listen",
    `${address}:${SERVER_PORT}`,
    "--http",
    `${address}:${SERVER_HTTP_PORT}`,
    "--data-dir",
    dataDir,
  ];
}

export function agentCommand(options: {
  readonly address: string;
  readonly serverAddress: string;
  readonly dataDir: string;
  readonly dockerSocket: string;
}): string[] {
  const { address, serverAddress, dataDir, dockerSocket } = options;
  return [
    ...BERTH,
    "agent",
    "--server",
    serverAddress,
    "--advertise",
    address,
    "--data-dir",
    dataDir,
    "--docker-socket",
    dockerSocket,
  ];
}

export function cliCommand(args: readonly string[]): string[] {
  return [...BERTH, ...args];
}

/** Whether a process is `berth WORD …`, as the commands above start it. */
export function isBerthCommand(argv: readonly string[], word: "server" | "agent"): boolean {
  return argv[1] === BERTH[1] && argv[2] === word;
}
