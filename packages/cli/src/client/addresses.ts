import { BerthError } from "@berth/proto";

const ADDRESS_PATTERN = /^(?:\[[0-9a-fA-F:.%]+\]|[^\s:/[\]]+):(\d{1,5})$/;
const MAX_PORT = 65_535;

const UNIX_PREFIX = "unix:";
/** Maximum length of a socket path in the kernel, without the final NUL. */
const MAX_SOCKET_PATH_BYTES = 107;

/**
 * Normalizes a list of addresses.
 *
 * @throws BerthError BERTH_INPUT_INVALID unless the list has the form `HOST:PORT,…`. `unix:/PATH` is also an address.
 */
export function parseServerAddresses(list: string): string {
  return list
    .split(",")
    .map((part) => parseAddress(part.trim()))
    .join(",");
}

/** Returns the path of a `unix:` address, or undefined for another address. */
export function socketPathOf(address: string): string | undefined {
  return address.startsWith(UNIX_PREFIX) ? address.slice(UNIX_PREFIX.length) : undefined;
}

/** Splits `HOST:PORT`. An IPv6 address is in brackets. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(":");
  return {
    host: address.slice(0, colon).replace(/^\[(.*)\]$/, "$1"),
    port: Number(address.slice(colon + 1)),
  };
}

function parseAddress(text: string): string {
  const socketPath = socketPathOf(text)?.replace(/^\/+/, "/");
  if (socketPath !== undefined) {
    // `unix:///run/x` is the form of Docker's addresses.
    if (isSocketPath(socketPath)) return UNIX_PREFIX + socketPath;
  } else {
    const port = Number(ADDRESS_PATTERN.exec(text)?.[1] ?? "0");
    if (port >= 1 && port <= MAX_PORT) return text;
  }
  const message = `invalid server address ${JSON.stringify(text)}; use HOST:PORT, such as 10.0.0.1:7400, or unix:/PATH`;
  throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
}

function isSocketPath(path: string): boolean {
  return /^\/[^\0]+$/.test(path) && Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES;
}
