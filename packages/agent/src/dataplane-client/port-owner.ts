import { readdir, readFile, readlink } from "node:fs/promises";
import type { ListenerError } from "@berth/proto";
import { listenerMessage } from "../dataplane/listeners/listener-error.js";

/** Socket states in /proc/net. */
const TCP_LISTEN = "0A";
const UDP_UNCONNECTED = "07";

/**
 * Adds to the errors' messages the processes that occupy the ports. The agent adds them, since the ingress process
 * cannot see the open files of other users. Reads the open files of every process if a port is taken.
 */
export async function namePortOwners(errors: readonly ListenerError[]): Promise<ListenerError[]> {
  const occupiedErrors = errors.filter(({ code }) => code === "EADDRINUSE");
  const owners =
    occupiedErrors.length === 0 ? new Map<ListenerError, string>() : await findOwners(occupiedErrors);
  return errors.map((error) => {
    const owner = owners.get(error);
    return owner === undefined ? error : { ...error, message: listenerMessage(error, owner) };
  });
}

/** Returns the processes that occupy the ports, such as `nginx (pid 4242)`. Omits processes that /proc does not show. */
async function findOwners(errors: readonly ListenerError[]): Promise<ReadonlyMap<ListenerError, string>> {
  const owners = new Map<ListenerError, string>();
  const errorOf = new Map<string, ListenerError>();
  for (const error of errors) for (const inode of await socketInodes(error)) errorOf.set(inode, error);
  const processIds = errorOf.size === 0 ? [] : await readdir("/proc").catch(() => []);
  for (const processId of processIds.filter((name) => /^\d+$/.test(name))) {
    const ownedErrors = (await socketsOf(processId)).flatMap((inode) => errorOf.get(inode) ?? []);
    if (ownedErrors.length === 0) continue;
    const name = await readFile(`/proc/${processId}/comm`, "utf8").catch(() => undefined);
    // A process that has ended since has freed the port.
    if (name !== undefined) {
      for (const error of ownedErrors) owners.set(error, `${name.trim()} (pid ${processId})`);
    }
  }
  return owners;
}

/** Returns the inodes of the sockets that may hold a port. */
async function socketInodes({ protocol, port }: ListenerError): Promise<ReadonlySet<string>> {
  const state = protocol === "tcp" ? TCP_LISTEN : UDP_UNCONNECTED;
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const inodes = new Set<string>();
  for (const file of [`/proc/net/${protocol}`, `/proc/net/${protocol}6`]) {
    const text = await readFile(file, "utf8").catch(() => "");
    for (const line of text.split("\n")) {
      const fields = line.trim().split(/\s+/);
      if (fields[1]?.endsWith(suffix) && fields[3] === state && fields[9] !== undefined) {
        inodes.add(fields[9]);
      }
    }
  }
  return inodes;
}

/** Returns the inodes of a process's sockets. Empty if the process has ended or is not visible. */
async function socketsOf(processId: string): Promise<readonly string[]> {
  const files = await readdir(`/proc/${processId}/fd`).catch(() => []);
  const targets = await Promise.all(
    files.map((file) => readlink(`/proc/${processId}/fd/${file}`).catch(() => "")),
  );
  return targets.flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []);
}
