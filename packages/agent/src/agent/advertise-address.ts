import { networkInterfaces } from "node:os";
import { BerthError, canonicalIp, isLoopback } from "@berth/proto";
import { advertiseProblem } from "../config.js";
import type { StateDirectory } from "../runtime/state-directory.js";

/** Contains the address that was given to `berth agent join`. */
const ADDRESS_FILE = "advertise-address";

/** The address of an agent when none is configured. It suffices for a cluster on one host. */
export const DEFAULT_ADDRESS = "127.0.0.1";

export function writeAdvertiseAddress(
  stateDirectory: Pick<StateDirectory, "write">,
  address: string,
): Promise<void> {
  return stateDirectory.write(ADDRESS_FILE, `${address}\n`);
}

/**
 * Returns the stored address, or undefined if there is none.
 *
 * @throws BerthError BERTH_INPUT_INVALID if the file was damaged
 */
export async function readAdvertiseAddress(
  stateDirectory: Pick<StateDirectory, "read" | "pathOf">,
): Promise<string | undefined> {
  const text = (await stateDirectory.read(ADDRESS_FILE))?.trim();
  const problem = text === undefined ? undefined : advertiseProblem(text);
  if (problem === undefined) return text;
  throw new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `invalid file ${stateDirectory.pathOf(ADDRESS_FILE)}: ${problem}; remove the file, and pass --advertise`,
  });
}

/**
 * Returns the address at which other hosts reach this one: the configured one, then the stored one.
 *
 * @throws BerthError BERTH_INPUT_INVALID if the address cannot be right
 */
export async function chooseAdvertiseAddress(
  stateDirectory: Pick<StateDirectory, "read" | "pathOf">,
  { configured, servers }: { readonly configured: string | undefined; readonly servers: readonly string[] },
): Promise<string> {
  const address = configured ?? (await readAdvertiseAddress(stateDirectory)) ?? DEFAULT_ADDRESS;
  requireReachable(address, { servers, own: ownAddresses() });
  return address;
}

/**
 * Rejects a loopback address when a server is on another host: the other hosts could not reach this one. Servers with
 * names instead of IP addresses are not considered.
 *
 * @throws BerthError BERTH_INPUT_INVALID
 */
export function requireReachable(
  address: string,
  { servers, own }: { readonly servers: readonly string[]; readonly own: ReadonlySet<string> },
): void {
  if (!isLoopback(address)) return;
  const remote = servers.find((server) => {
    const host = canonicalIp(server.slice(0, server.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1"));
    return host !== undefined && !isLoopback(host) && !own.has(host);
  });
  if (remote === undefined) return;
  throw new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `other hosts cannot reach this host at ${address}, and server ${remote} is on another host; pass --advertise with an address of this host`,
  });
}

/** Returns the IP addresses of this host. */
export function ownAddresses(): ReadonlySet<string> {
  const all = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses);
  return new Set(all.map(({ address }) => canonicalIp(address) ?? address));
}
