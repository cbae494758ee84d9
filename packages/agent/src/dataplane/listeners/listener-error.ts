import { readdir, readFile, readlink } from "node:fs/promises";
import { type IngressListener, type ListenerError, listenerName } from "../table/ingress-table.js";

/** Socket states in /proc/net. */
const TCP_LISTEN = "0A";
const UDP_UNCONNECTED = "07";

/** Returns the error of a listener that could not be opened, with a message that says why and how to fix it. */
export async function describeListenerError(
  listener: IngressListener,
  error: unknown,
): Promise<ListenerError> {
  const { protocol, address, port, service } = listener;
  const code = error instanceof Error && "code" in error ? String(error.code) : "EIO";
  return { protocol, address, port, service, code, message: await formatMessage(listener, code) };
}

async function formatMessage(listener: IngressListener, code: string): Promise<string> {
  const problem = `cannot publish ${listenerName(listener)} for ${listener.service}`;
  switch (code) {
    case "EADDRINUSE": {
      const owner = (await findPortOwner(listener.protocol, listener.port)) ?? "another process";
      return `${problem}: ${owner} already listens on that port of this host; stop it or publish another port`;
    }
    case "EACCES":
      return `${problem}: ports below 1024 need root or CAP_NET_BIND_SERVICE`;
    case "EMFILE":
    case "ENFILE":
      return `${problem}: too many open files; raise LimitNOFILE= in the agent's unit, or ulimit -Hn`;
    case "EADDRNOTAVAIL":
      return `${problem}: this host has no address ${listener.address}`;
    default:
      return `${problem}: ${code}`;
  }
}

/**
 * Returns the process that holds a port, such as `nginx (pid 4242)`. Undefined when /proc does not show it, for example
 * because the process belongs to another user. Reads the open files of every process: use it for errors only.
 */
async function findPortOwner(protocol: "tcp" | "udp", port: number): Promise<string | undefined> {
  try {
    const inodes = await socketInodes(protocol, port);
    if (inodes.size === 0) return undefined;
    for (const pid of await readdir("/proc")) {
      if (/^\d+$/.test(pid) && (await hasSocket(pid, inodes))) {
        return `${(await readFile(`/proc/${pid}/comm`, "utf8")).trim()} (pid ${pid})`;
      }
    }
  } catch {
    // The process ended meanwhile, or there is no /proc: the message names no process.
  }
  return undefined;
}

async function socketInodes(protocol: "tcp" | "udp", port: number): Promise<ReadonlySet<string>> {
  const state = protocol === "tcp" ? TCP_LISTEN : UDP_UNCONNECTED;
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

async function hasSocket(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  const files = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (const file of files) {
    const target = await readlink(`/proc/${pid}/fd/${file}`).catch(() => "");
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode !== undefined && inodes.has(inode)) return true;
  }
  return false;
}
