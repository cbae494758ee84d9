import { readdir, readFile, readlink } from "node:fs/promises";

const LISTENING = "0A";
const UNCONNECTED = "07";

/**
 * Who holds a port on this host, e.g. `nginx (pid 4242)`, from what Linux shows in /proc. Undefined when it cannot be
 * seen: no such socket, a process of another user, or no Linux. Reads every process's open files: for errors only.
 */
export async function findPortOwner(protocol: "tcp" | "udp", port: number): Promise<string | undefined> {
  try {
    const inodes = await socketInodes(protocol, port);
    if (inodes.size === 0) return undefined;
    for (const pid of await readdir("/proc")) {
      if (/^\d+$/.test(pid) && (await holdsOneOf(pid, inodes))) {
        return `${(await readFile(`/proc/${pid}/comm`, "utf8")).trim()} (pid ${pid})`;
      }
    }
  } catch {
    // A process that ended while we looked, or no /proc: the message does without a name.
  }
  return undefined;
}

async function socketInodes(protocol: "tcp" | "udp", port: number): Promise<ReadonlySet<string>> {
  const state = protocol === "tcp" ? LISTENING : UNCONNECTED;
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const inodes = new Set<string>();
  for (const file of [`/proc/net/${protocol}`, `/proc/net/${protocol}6`]) {
    const text = await readFile(file, "utf8").catch(() => "");
    for (const line of text.split("\n")) {
      const fields = line.trim().split(/\s+/);
      if (fields[1]?.endsWith(suffix) && fields[3] === state && fields[9] !== undefined)
        inodes.add(fields[9]);
    }
  }
  return inodes;
}

async function holdsOneOf(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  const files = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (const file of files) {
    const target = await readlink(`/proc/${pid}/fd/${file}`).catch(() => "");
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode !== undefined && inodes.has(inode)) return true;
  }
  return false;
}
