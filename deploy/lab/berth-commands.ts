import { join } from "node:path";
import { REPO_ROOT } from "./paths.js";

/** Port for the CLI and the agents. */
export const SERVER_PORT = 7400;
/** Port for health checks and metrics. */
export const SERVER_HTTP_PORT = 7401;

export const serverAddressOn = (address: string): string => `${address}:${SERVER_PORT}`;

/** The CLI, the server and the agent are one program. */
const BERTH = [process.execPath, join(REPO_ROOT, "packages/cli/bin/berth.js")] as const;

export function serverCommand({
  address,
  dataDir,
}: {
  readonly address: string;
  readonly dataDir: string;
}): string[] {
  return [
    ...BERTH,
    "server",
    "--listen",
    serverAddressOn(address),
    "--http",
    `${address}:${SERVER_HTTP_PORT}`,
    "--data-dir",
    dataDir,
  ];
}

/** Reads the join token from standard input. */
export function joinCommand(
  program: "server" | "agent",
  { address, dataDir }: { readonly address: string; readonly dataDir: string },
): string[] {
  return [...BERTH, program, "join", address, "--token-file", "-", "--data-dir", dataDir];
}

export function agentCommand({
  address,
  serverAddresses = [],
  dataDir,
  dockerSocket,
}: {
  readonly address: string;
  /** By default, the servers that the host knows since it has joined. */
  readonly serverAddresses?: readonly string[];
  readonly dataDir: string;
  readonly dockerSocket: string;
}): string[] {
  return [
    ...BERTH,
    "agent",
    ...(serverAddresses.length === 0 ? [] : ["--server", serverAddresses.join(",")]),
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

/** Returns whether a process runs `berth SUBCOMMAND`, started by one of the commands above. */
export function isBerthCommand(argv: readonly string[], subcommand: "server" | "agent"): boolean {
  return argv[1] === BERTH[1] && argv[2] === subcommand && argv[3] !== "join";
}
