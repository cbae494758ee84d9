import { open, readFile } from "node:fs/promises";
import { type HostListener, PortSpec_Protocol } from "@berth/proto";
import { readField } from "../../core/docker/json.js";

/** A listening socket, from a line of /proc/net/{tcp,udp}{,6}. */
export interface ListeningSocket {
  readonly address: string;
  readonly port: number;
}

export type SocketFile = "tcp" | "tcp6" | "udp" | "udp6";

const SOCKET_FILES: readonly SocketFile[] = ["tcp", "tcp6", "udp", "udp6"];
const COUNT_FILES = ["sockstat", "sockstat6"];
/** Size of a read: about a hundred lines, more than most hosts have listening sockets. */
const CHUNK_BYTES = 16 * 1024;
/** Maximum number of bytes read from a file, to limit the cost on a host with very many sockets. */
const MAX_BYTES = 1024 * 1024;
/**
 * Number of calls after which the sockets are read even if their counts are the same: one socket may have replaced
 * another.
 */
const CALLS_PER_READ = 10;

/** Socket states. UDP servers are unconnected sockets. */
const LISTEN_STATE = "0A";
const UNCONNECTED_STATE = "07";
/** `sl: local_address:port remote_address:port state …`, in hexadecimal. */
const LINE_PATTERN = /^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) /;

/**
 * Returns the listening sockets of this process's network namespace. Linux lists listening TCP sockets first, so
 * reading stops at the first other one: a host with 100,000 connections costs no more than an idle one.
 */
export async function readListeners(directory = "/proc/net"): Promise<readonly HostListener[]> {
  const lists = await Promise.all(SOCKET_FILES.map((file) => readSocketFile(directory, file)));
  return lists.flat();
}

/**
 * Returns the kernel's text with the number of sockets of each kind, which changes when a socket is opened or closed.
 * Returns "" if the numbers cannot be read.
 */
export async function socketCounts(directory = "/proc/net"): Promise<string> {
  const texts = await Promise.all(
    COUNT_FILES.map((file) => readFile(`${directory}/${file}`, "latin1").catch(() => "")),
  );
  return texts.flatMap((text) => text.match(/^(TCP|UDP)6?: inuse \d+/gm) ?? []).join(", ");
}

export interface ListenerSource {
  /** Reads all listening sockets. */
  readonly read: () => Promise<readonly HostListener[]>;
  /** Returns a text that changes when a socket is opened or closed, or "" if the kernel provides none. */
  readonly counts: () => Promise<string>;
}

/**
 * Returns a function that reads the listening sockets only if the socket counts have changed, and at every tenth call.
 * A read makes the kernel walk its whole table of connections, which has hundreds of thousands of slots on a host with
 * much memory. Without the cache, that is a quarter of the CPU time of an idle agent.
 */
export function cachedListeners({ read, counts }: ListenerSource): () => Promise<readonly HostListener[]> {
  let listeners: readonly HostListener[] = [];
  let countsBefore = "";
  let callsLeft = 0;
  return async () => {
    const countsNow = await counts();
    callsLeft -= 1;
    if (countsNow !== "" && countsNow === countsBefore && callsLeft > 0) return listeners;
    listeners = await read();
    countsBefore = countsNow;
    callsLeft = CALLS_PER_READ;
    return listeners;
  };
}

/**
 * Returns a listening socket, "other" for a socket in another state, or undefined for the heading and partial lines.
 */
export function parseSocketLine(line: string, file: SocketFile): ListeningSocket | "other" | undefined {
  const [, address, port, state] = LINE_PATTERN.exec(line) ?? [];
  if (address === undefined || port === undefined) return undefined;
  if (state !== (isTcp(file) ? LISTEN_STATE : UNCONNECTED_STATE)) return "other";
  return { address: parseAddress(address), port: Number.parseInt(port, 16) };
}

async function readSocketFile(directory: string, file: SocketFile): Promise<readonly HostListener[]> {
  const protocol = isTcp(file) ? PortSpec_Protocol.TCP : PortSpec_Protocol.UDP;
  const listeners: HostListener[] = [];
  for await (const line of linesOf(`${directory}/${file}`)) {
    const socket = parseSocketLine(line, file);
    if (socket === "other" && isTcp(file)) break;
    if (socket === undefined || socket === "other") continue;
    const isWildcard = socket.address === "0.0.0.0" || socket.address === "::";
    listeners.push({ protocol, address: isWildcard ? "" : socket.address, port: socket.port });
  }
  return listeners;
}

function isTcp(file: SocketFile): boolean {
  return file.startsWith("tcp");
}

/** Each 32-bit word is in the machine's byte order, which is little-endian wherever Docker runs. */
function parseAddress(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => (word.match(/../g) ?? []).reverse());
  const numbers = bytes.map((byte) => Number.parseInt(byte, 16));
  const isMappedIpv4 = bytes.slice(0, 12).join("") === "00000000000000000000FFFF";
  if (bytes.length === 4 || isMappedIpv4) return numbers.slice(-4).join(".");
  const groups = Array.from({ length: 8 }, (_, index) => `${bytes[2 * index]}${bytes[2 * index + 1]}`);
  // URL shortens the address as Docker does.
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

/** Yields whole lines. Yields none when the file does not exist, as without IPv6. */
async function* linesOf(path: string): AsyncGenerator<string> {
  const file = await open(path, "r").catch((error: unknown) => {
    if (readField(error, "code") === "ENOENT") return undefined;
    throw error;
  });
  if (file === undefined) return;
  try {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    let partialLine = "";
    for (let total = 0; total < MAX_BYTES; ) {
      const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, null);
      if (bytesRead === 0) break;
      total += bytesRead;
      const lines = `${partialLine}${buffer.toString("latin1", 0, bytesRead)}`.split("\n");
      partialLine = lines.pop() ?? "";
      yield* lines;
    }
  } finally {
    await file.close();
  }
}
