import { join } from "node:path";
import { REPO_ROOT } from "./paths.js";

/** Port for the CLI and the agents. */
export const SERVER_PORT = 7400;
/** Port for health checks and metrics. */
export const SERVER_HTTP_PORT = 7401;

export const serverAddressOn = (address: string): string => `${address}:${SERVER_PORT}`;

/** The CLI, the server and the agent are one program. */
const BERTH = [process.execPath, join(REPO_ROOT, "packages/cli/bin/berth.js")] as const;

export function serverCommand(options: {
  readonly address: string;
  readonly dataDir: string;
  /** Addresses of all servers in the etcd cluster. Undefined for a single server. */
  readonly etcdAddresses?: readonly string[] | undefined;
}): string[] {
  const { address, dataDir, etcdAddresses } = options;
  return [
    ...BERTH,
    "server",
    "--listen",
    `${address}:${SERVER_PORT}`,
    "--http",
    `${address}:${SERVER_HTTP_PORT}`,
    "--data-dir",
    dataDir,
    ...(etcdAddresses === undefined ? [] : ["--etcd-cluster", etcdAddresses.join(",")]),
  ];
}

export function agentCommand(options: {
  readonly address: string;
  readonly serverAddresses: readonly string[];
  readonly dataDir: string;
  readonly dockerSocket: string;
}): string[] {
  const { address, serverAddresses, dataDir, dockerSocket } = options;
  return [
    ...BERTH,
    "agent",
    "--server",
    serverAddresses.join(","),
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
  return argv[1] === BERTH[1] && argv[2] === subcommand;
}
