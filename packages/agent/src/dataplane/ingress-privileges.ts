import { chmodSync, chownSync, lchownSync, lstatSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { shareIngressLocks } from "../runtime/process-lock.js";
import { SOCKET_NAME } from "./control/protocol.js";

/**
 * Capabilities of a process with a dedicated user: changes to nftables, addresses and connection tracking, ports below
 * 1024, and raw sockets, with which some builds of iptables read their tables.
 */
const CAPABILITIES = ["net_admin", "net_bind_service", "net_raw"];
/**
 * Mode of the data directory. It is sticky: the process can create its socket, but cannot replace the log, which
 * belongs to root.
 */
const SHARED_DIRECTORY = 0o1770;
const ROOT_DIRECTORY = 0o700;
const OTHER_USERS = 0o077;

/** The user and group that an ingress process runs as. Every user except root has only {@link CAPABILITIES}. */
export interface IngressUser {
  readonly uid: number;
  readonly gid: number;
}

export const ROOT: IngressUser = { uid: 0, gid: 0 };

/** Returns the user of this process. */
export function ownUser(): IngressUser {
  return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
}

/**
 * Returns the command that runs a command as the user: the command itself for the user of this process, which must
 * otherwise be root. Children of the command keep its capabilities and get no others.
 */
export function commandAs({ uid, gid }: IngressUser, command: readonly string[]): readonly string[] {
  if (uid === ownUser().uid) return command;
  const capabilities = ["-all", ...CAPABILITIES.map((name) => `+${name}`)].join(",");
  return [
    ...["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--no-new-privs"],
    ...["inh-caps", "ambient-caps", "bounding-set"].map((set) => `--${set}=${capabilities}`),
    ...command,
  ];
}

/**
 * Grants the user access to the files that an ingress process shares with its predecessor and the agent. Requires root.
 * A running process keeps its files until its successor replaces them.
 */
export function assignDataDir(dataDir: string, { uid, gid }: IngressUser): void {
  const wasRootOnly = (statSync(dataDir).mode & OTHER_USERS) === 0;
  assignSocket(join(dataDir, SOCKET_NAME), { uid, gid }, wasRootOnly);
  chownSync(dataDir, 0, gid);
  chmodSync(dataDir, uid === 0 ? ROOT_DIRECTORY : SHARED_DIRECTORY);
  shareIngressLocks(dataDir, gid);
}

/**
 * Lets the user replace a control socket of another user: in a sticky directory, only its owner and root can. Deletes it
 * instead if another user could have put a link to some file there.
 */
function assignSocket(path: string, { uid, gid }: IngressUser, isRootOnly: boolean): void {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined || stats.uid === uid) return;
  if (isRootOnly) lchownSync(path, uid, gid);
  else rmSync(path, { force: true });
}
