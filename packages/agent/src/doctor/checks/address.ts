import { readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { overlayMtu } from "../../core/networks/devices.js";
import { runProgram } from "../../runtime/run-program.js";
import { type Check, type Finding, failed, ok, warning } from "../check.js";

/** MTU of Ethernet. */
const ETHERNET_MTU = 1_500;
/**
 * Minimum MTU of the uplink. With a smaller one, packets in overlay networks are smaller than the 1,280 bytes that IPv6
 * requires.
 */
const MIN_UPLINK_MTU = 1_330;

/** Checks the address at which the other hosts reach this host. */
export const checkAddress: Check = async ({ advertiseAddress, signal }) => {
  const name = interfaceOf(advertiseAddress);
  if (name === undefined) {
    const message = `no network interface of this host has the address ${advertiseAddress}`;
    return [failed("address", message, "Set --advertise to an address of this host.")];
  }
  if (/^127\.|^::1$/.test(advertiseAddress)) {
    const message = `${advertiseAddress} is a loopback address: other hosts cannot reach this host`;
    return [warning("address", message, "Set --advertise to another address, unless this is the only host.")];
  }
  return [
    ok("address", `${advertiseAddress} on ${name}`),
    evaluateMtu(name, await readMtu(name, signal), advertiseAddress),
  ];
};

export function evaluateMtu(name: string, mtu: number, address: string): Finding {
  if (mtu >= ETHERNET_MTU) return ok("MTU", `${mtu} on ${name}`);
  if (mtu >= MIN_UPLINK_MTU) {
    const options = { isIpv6: address.includes(":"), isEncrypted: false };
    return ok("MTU", `${mtu} on ${name}: overlay networks have ${overlayMtu(mtu, options)}`);
  }
  return warning(
    "MTU",
    `${mtu} on ${name} is small: large packets are fragmented`,
    "Check whether the interface belongs to a tunnel.",
  );
}

/** Returns the name of the interface with an address, or undefined if there is none. */
export function interfaceOf(address: string): string | undefined {
  return Object.entries(networkInterfaces()).find(([, addresses]) =>
    addresses?.some((entry) => entry.address === address),
  )?.[0];
}

/** Reads the MTU of an interface. Prefers `ip`: /sys shows the network namespace in which it was mounted. */
export async function readMtu(name: string, signal: AbortSignal): Promise<number> {
  const result = await runProgram("ip", { args: ["-o", "link", "show", "dev", name], signal });
  const [, mtu] = (result.kind === "done" && / mtu (\d+) /.exec(result.stdout)) || [];
  return Number(mtu ?? (await readFile(`/sys/class/net/${name}/mtu`, "utf8")));
}
