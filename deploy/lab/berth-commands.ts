import { dirname, join } from "node:path";
import { REPO_ROOT } from "./paths.js";

/** Port for the CLI and the agents. */
export const SERVER_PORT = 7400;
/** Port for health checks and metrics. */
export const SERVER_HTTP_PORT = 7401;

export const serverAddressOn = (address: string): string => `${address}:${SERVER_PORT}`;

/** Path of the program in a checkout or a bundle. The CLI, the server and the agent are a single program. */
export const PROGRAM = "packages/cli/bin/berth.js";

/**
 * Environment variable with the directory of a bundle, which tests and their labs run instead of the compiled packages.
 */
export const BUNDLE_VARIABLE = "BERTH_TEST_BUNDLE";

/** Path of the program in this checkout, or in the bundle under test. */
export const BERTH_PATH = join(process.env[BUNDLE_VARIABLE] || REPO_ROOT, PROGRAM);

/** The program of the ingress process. A bundle has it beside the other program. */
export const INGRESS_PATH = process.env[BUNDLE_VARIABLE]
  ? join(dirname(BERTH_PATH), "entry.js")
  : join(REPO_ROOT, "packages/agent/dist/dataplane/entry.js");

/** Where a command finds its program and the program its data. */
export interface ProgramPaths {
  readonly berthPath: string;
  readonly dataDir: string;
}

export interface ServerCommandOptions extends ProgramPaths {
  /** IP address of the machine. */
  readonly address: string;
}

/** Returns the command that runs a server on its machine. */
export function serverCommand({ berthPath, address, dataDir }: ServerCommandOptions): string[] {
  return [
    process.execPath,
    berthPath,
    "server",
    "--listen",
    serverAddressOn(address),
    "--http",
    `${address}:${SERVER_HTTP_PORT}`,
    "--data-dir",
    dataDir,
  ];
}

export interface JoinCommandOptions extends ProgramPaths {
  /** `ADDRESS:PORT` of a server. */
  readonly address: string;
}

/** Returns the command that joins a cluster. It reads the join token from standard input. */
export function joinCommand(
  program: "server" | "agent",
  { berthPath, address, dataDir }: JoinCommandOptions,
): string[] {
  return [process.execPath, berthPath, program, "join", address, "--token-file", "-", "--data-dir", dataDir];
}

/** Returns the command that recovers a cluster from one server, without a confirmation prompt. */
export function recoverCommand({ berthPath, dataDir }: ProgramPaths): string[] {
  return [process.execPath, berthPath, "server", "recover", "--yes", "--data-dir", dataDir];
}

export interface AgentCommandOptions extends ProgramPaths {
  /** IP address of the machine. */
  readonly address: string;
  /** Default: the servers that the host learned when it joined. */
  readonly serverAddresses?: readonly string[];
  readonly dockerSocket: string;
}

/** Returns the command that runs an agent on its machine. */
export function agentCommand({
  berthPath,
  address,
  serverAddresses = [],
  dataDir,
  dockerSocket,
}: AgentCommandOptions): string[] {
  return [
    process.execPath,
    berthPath,
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

/** Returns the command that runs the CLI on this machine. */
export function cliCommand(args: readonly string[]): string[] {
  return [process.execPath, BERTH_PATH, ...args];
}

/** Returns whether a process runs `berth SUBCOMMAND` of any checkout, started by one of the commands above. */
export function isBerthCommand(argv: readonly string[], subcommand: "server" | "agent"): boolean {
  return (
    argv[1]?.endsWith(`/${PROGRAM}`) === true &&
    argv[2] === subcommand &&
    argv[3] !== "join" &&
    argv[3] !== "recover"
  );
}
