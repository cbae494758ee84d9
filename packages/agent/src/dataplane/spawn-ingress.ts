import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { giveIngressLocks } from "../runtime/process-lock.js";
import { LOG_NAME, SOCKET_NAME } from "./control/protocol.js";

/** The process logs little. The limit keeps a process that crashes in a loop from filling the disk. */
const MAX_LOG_BYTES = 4 * 1024 * 1024;
const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants;

/**
 * Capabilities of a process with a user of its own: changes to nftables, addresses and connection tracking, ports below
 * 1024, and raw sockets, with which some builds of iptables read their tables.
 */
const CAPABILITIES = ["net_admin", "net_bind_service", "net_raw"];
/** Sticky: the process can create its socket in the directory, but cannot replace the log, which is root's. */
const SHARED_DIRECTORY = 0o1770;

/** The compiled entry point of this release. */
export const ENTRY_PATH = fileURLToPath(new URL("./entry.js", import.meta.url));

/** The command line of the ingress process of one release. */
export interface IngressProgram {
  readonly executable: string;
  readonly entryPath: string;
  readonly args: readonly string[];
}

/** The user and group that an ingress process runs as, with {@link CAPABILITIES} only. */
export interface IngressUser {
  readonly uid: number;
  readonly gid: number;
}

/** Starts an ingress process in its own session, so that it outlives this process. Without a user, it keeps this one. */
export function spawnIngress(dataDir: string, program: IngressProgram, user?: IngressUser): ChildProcess {
  if (user !== undefined) shareDirectory(dataDir, user);
  const log = openLog(join(dataDir, LOG_NAME));
  const { executable, entryPath, args } = program;
  const command = [executable, entryPath, "--data-dir", dataDir, ...args];
  const [file = executable, ...argv] = user === undefined ? command : [...dropPrivileges(user), ...command];
  try {
    return spawn(file, argv, {
      ...processOptions(),
      stdio: ["ignore", log, log],
      // The user may lack access to the directories above the data directory.
      ...(user === undefined ? {} : { cwd: dataDir }),
    });
  } finally {
    closeSync(log);
  }
}

/**
 * Starts the process that receives the state and sockets of this ingress process, over an IPC channel. It has the same
 * user, capabilities, working directory and log.
 */
export function spawnSuccessor(
  dataDir: string,
  { executable, entryPath, args }: IngressProgram,
): ChildProcess {
  const command = [entryPath, "--data-dir", dataDir, "--inherit", ...args];
  return spawn(executable, command, { ...processOptions(), stdio: ["ignore", "inherit", "inherit", "ipc"] });
}

function processOptions(): { readonly detached: true; readonly env: NodeJS.ProcessEnv } {
  return { detached: true, env: { PATH: process.env.PATH, LANG: process.env.LANG } };
}

/** Returns the command that runs another command as the user. Its children keep the capabilities and get no others. */
function dropPrivileges({ uid, gid }: IngressUser): readonly string[] {
  const capabilities = ["-all", ...CAPABILITIES.map((name) => `+${name}`)].join(",");
  return [
    ...["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--no-new-privs"],
    ...["inh-caps", "ambient-caps", "bounding-set"].map((set) => `--${set}=${capabilities}`),
  ];
}

function shareDirectory(dataDir: string, { uid, gid }: IngressUser): void {
  chownSync(dataDir, process.getuid?.() ?? 0, gid);
  chmodSync(dataDir, SHARED_DIRECTORY);
  giveIngressLocks(dataDir, { uid, gid });
  // A process of another user may have left it. In this directory, only its owner and root can delete it.
  const socketPath = join(dataDir, SOCKET_NAME);
  if (lstatSync(socketPath, { throwIfNoEntry: false })?.uid !== uid) rmSync(socketPath, { force: true });
}

/**
 * Opens the log.
 * @throws Error when the path is not a file of its own: the ingress process could have created a link there
 */
function openLog(path: string): number {
  const log = openSync(path, O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_WRONLY, 0o600);
  const stats = fstatSync(log);
  if (!stats.isFile() || stats.nlink > 1) {
    closeSync(log);
    throw new Error(`${path} is not a file of its own: delete it`);
  }
  if (stats.size > MAX_LOG_BYTES) ftruncateSync(log);
  return log;
}
