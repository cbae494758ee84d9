/** A socket that waits for peers, as a line of /proc/net/{tcp,udp}{,6} shows it. */
export interface WaitingSocket {
  readonly address: string;
  readonly port: number;
}

export type SocketFile = "tcp" | "tcp6" | "udp" | "udp6";

const LISTENING = "0A";
const UNCONNECTED = "07";
/** `sl: local_address:port remote_address:port state …`, numbers in hexadecimal. */
const LINE = /^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) /;

/**
 * What one line says: a socket that waits for peers, some other socket, or (the heading, a line cut short) nothing.
 */
export function parseSocketLine(line: string, file: SocketFile): WaitingSocket | "other" | undefined {
  const [, address, port, state] = LINE.exec(line) ?? [];
  if (address === undefined || port === undefined) return undefined;
  if (state !== (file.startsWith("tcp") ? LISTENING : UNCONNECTED)) return "other";
  return { address: addressOf(address), port: Number.parseInt(port, 16) };
}

/** Each 32-bit word is written in the byte order of the machine, which is little-endian wherever Docker runs. */
function addressOf(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => (word.match(/../g) ?? []).reverse());
  const numbers = bytes.map((byte) => Number.parseInt(byte, 16));
  const mapped = bytes.slice(0, 12).join("") === "00000000000000000000FFFF";
  if (bytes.length === 4 || mapped) return numbers.slice(-4).join(".");
  const groups = Array.from({ length: 8 }, (_, at) => `${bytes[2 * at]}${bytes[2 * at + 1]}`);
  // The shortest form, as people and Docker write it.
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}
