import { open } from "node:fs/promises";
import { type HostListener, PortSpec_Protocol } from "@berth/proto";
import { parseSocketLine, type SocketFile, type WaitingSocket } from "./proc-sockets.js";

const FILES: readonly SocketFile[] = ["tcp", "tcp6", "udp", "udp6"];
/** About a hundred lines, more than most hosts have listeners. */
const CHUNK_BYTES = 16 * 1024;
/** No host listens on more; a host with very many sockets is not to cost more than that. */
const MAX_BYTES = 1024 * 1024;

/**
 * The sockets that wait for peers in the network namespace of this process. Linux lists listening TCP sockets before
 * all others, so reading ends there: a host with a hundred thousand connections costs no more than an idle one.
 */
export async function readListeners(folder = "/proc/net"): Promise<readonly HostListener[]> {
  const lists = await Promise.all(FILES.map((file) => readFileOf(folder, file)));
  return lists.flat();
}

async function readFileOf(folder: string, file: SocketFile): Promise<readonly HostListener[]> {
  const isTcp = file.startsWith("tcp");
  const protocol = isTcp ? PortSpec_Protocol.TCP : PortSpec_Protocol.UDP;
  const found: HostListener[] = [];
  for await (const line of linesOf(`${folder}/${file}`)) {
    const socket = parseSocketLine(line, file);
    if (socket === "other" && isTcp) break;
    if (socket !== undefined && socket !== "other") found.push(listenerOf(socket, protocol));
  }
  return found;
}

function listenerOf({ address, port }: WaitingSocket, protocol: PortSpec_Protocol): HostListener {
  const everywhere = address === "0.0.0.0" || address === "::";
  return { protocol, address: everywhere ? "" : address, port };
}

/** Whole lines; none when there is no such file, as where IPv6 is off. */
async function* linesOf(path: string): AsyncGenerator<string> {
  const file = await open(path, "r").catch(() => undefined);
  if (file === undefined) return;
  try {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    let rest = "";
    for (let total = 0; total < MAX_BYTES; ) {
      const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, null);
      if (bytesRead === 0) break;
      total += bytesRead;
      const lines = `${rest}${buffer.toString("latin1", 0, bytesRead)}`.split("\n");
      rest = lines.pop() ?? "";
      yield* lines;
    }
  } finally {
    await file.close();
  }
}
