import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, constants, fstatSync, ftruncateSync, openSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LOG_NAME } from "./control/protocol.js";
import { assignDataDir, commandAs, type IngressUser, ownUser } from "./ingress-privileges.js";

/**
 * Maximum size of the log. The process logs little, so this only matters in a crash loop, which must not fill the disk.
 */
const MAX_LOG_BYTES = 4 * 1024 * 1024;
const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants;

/** File descriptor of the IPC channel in processes that Node.js starts with three standard streams. */
const CHANNEL_FD = 3;

/**
 * Copies the channel of the process in the first argument with pidfd_getfd(2), and executes the other arguments.
 * Node.js has no such call; Debian's essential perl-base can make it by number. The numbers are the same on all
 * architectures that Node.js supports.
 */
const ADOPT_CHANNEL = `use POSIX;
my $holder = shift(@ARGV) + 0;
my $process = syscall(434, $holder, 0);
$process >= 0 or die "pidfd_open: $!\\n";
my $channel = syscall(438, $process, ${CHANNEL_FD}, 0);
$channel >= 0 or die "pidfd_getfd: $!\\n";
defined POSIX::dup2($channel, ${CHANNEL_FD}) or die "dup2: $!\\n";
exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!\\n";`;

/** The compiled entry point of this release. */
export const ENTRY_PATH = fileURLToPath(new URL("./entry.js", import.meta.url));

/** The command line of the ingress process of one release. */
export interface IngressProgram {
  readonly executable: string;
  readonly entryPath: string;
  readonly args: readonly string[];
}

/**
 * Starts an ingress process in its own session, so that it outlives this process. Without a user, it runs as the
 * current one.
 */
export function spawnIngress(dataDir: string, program: IngressProgram, user?: IngressUser): ChildProcess {
  shareDataDir(dataDir, user);
  const [file = "", ...argv] = ingressCommand(dataDir, program, user);
  const log = openLog(join(dataDir, LOG_NAME));
  try {
    return spawn(file, argv, { ...processOptions(dataDir, user), stdio: ["ignore", log, log] });
  } finally {
    closeSync(log);
  }
}

/** Gives the user of an ingress process access to its data directory. */
export function shareDataDir(dataDir: string, user: IngressUser | undefined): void {
  // An unprivileged agent does not share its directory with other users.
  if (user !== undefined && ownUser().uid === 0) assignDataDir(dataDir, user);
}

/** Returns the command of an ingress process. With a dedicated user, it runs in the data directory. */
export function ingressCommand(
  dataDir: string,
  program: IngressProgram,
  user: IngressUser | undefined,
): readonly string[] {
  return commandAs(user ?? ownUser(), programCommand(dataDir, program));
}

/**
 * Starts the process that receives the state and sockets of this ingress process, over an IPC channel. It has the same
 * user, capabilities, working directory and log.
 */
export function spawnSuccessor(dataDir: string, program: IngressProgram): ChildProcess {
  const [file = "", ...argv] = successorCommand(dataDir, program);
  const { env, ...options } = processOptions();
  return spawn(file, argv, {
    ...options,
    env: { ...env, ...serviceManagerEnv() },
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
}

/** Returns the variables through which systemd and this process find each other. They are not for another unit. */
function serviceManagerEnv(): NodeJS.ProcessEnv {
  const { NOTIFY_SOCKET, WATCHDOG_USEC, JOURNAL_STREAM } = process.env;
  return { NOTIFY_SOCKET, WATCHDOG_USEC, JOURNAL_STREAM };
}

/**
 * Starts, as root, a successor whose user differs from its predecessor's. The predecessor has started a process that
 * only holds the successor's end of the IPC channel, and the successor takes the channel from that process.
 */
export function spawnAdoptingSuccessor(
  dataDir: string,
  program: IngressProgram,
  { user, holderId }: { readonly user: IngressUser; readonly holderId: number },
): ChildProcess {
  const command = commandAs(user, successorCommand(dataDir, program));
  const log = openLog(join(dataDir, LOG_NAME));
  const options = processOptions(dataDir, user);
  try {
    return spawn("perl", ["-e", ADOPT_CHANNEL, String(holderId), ...command], {
      ...options,
      env: { ...options.env, NODE_CHANNEL_FD: String(CHANNEL_FD) },
      stdio: ["ignore", log, log],
    });
  } finally {
    closeSync(log);
  }
}

function programCommand(dataDir: string, { executable, entryPath, args }: IngressProgram): readonly string[] {
  return [executable, entryPath, "--data-dir", dataDir, ...args];
}

function successorCommand(dataDir: string, program: IngressProgram): readonly string[] {
  return programCommand(dataDir, { ...program, args: ["--inherit", ...program.args] });
}

function processOptions(
  dataDir?: string,
  user?: IngressUser,
): { readonly detached: true; readonly env: NodeJS.ProcessEnv; readonly cwd?: string } {
  const { PATH, LANG } = process.env;
  // Another user may lack access to the directories above the data directory.
  const needsDirectory = dataDir !== undefined && user !== undefined && user.uid !== ownUser().uid;
  return { detached: true, env: { PATH, LANG }, ...(needsDirectory ? { cwd: dataDir } : {}) };
}

/**
 * Opens the log.
 *
 * @throws Error if the path is a link: the ingress process could have created it
 */
function openLog(path: string): number {
  const log = openSync(path, O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_WRONLY, 0o600);
  const stats = fstatSync(log);
  if (!stats.isFile() || stats.nlink > 1) {
    closeSync(log);
    throw new Error(`${path} is not a regular file with a single link; delete it`);
  }
  if (stats.size > MAX_LOG_BYTES) ftruncateSync(log);
  return log;
}
