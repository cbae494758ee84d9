import { readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { runProgram } from "../../runtime/run-program.js";
import type { Check } from "../check.js";
import { type Finding, failed, ok, warning } from "../finding.js";

/** Of Ethernet. A VXLAN takes 50 bytes of it. */
const USUAL_MTU = 1_500;
/** Below this the packets of a network that spans hosts are smaller than what IPv6 promises. */
const SMALLEST_MTU = 1_330;

/** The name of the interface that holds an address; undefined: none does. */
export function interfaceOf(address: string): string | undefined {
  return Object.entries(networkInterfaces()).find(([, addresses]) =>
    addresses?.some((one) => one.address === address),
  )?.[0];
}

/** Bytes that a packet of an interface may have. /sys tells of the network namespace in which it was mounted alone. */
export async function mtuOf(name: string, signal: AbortSignal): Promise<number> {
  const asked = await runProgram("ip", { args: ["-o", "link", "show", "dev", name], signal });
  const [, mtu] = (asked.kind === "done" && / mtu (\d+) /.exec(asked.stdout)) || [];
  return Number(mtu ?? (await readFile(`/sys/class/net/${name}/mtu`, "utf8")));
}

/** The address at which the other hosts reach this one. */
export const checkAddress: Check = async ({ advertiseAddress, signal }) => {
  const name = interfaceOf(advertiseAddress);
  if (name === undefined) {
    const message = `${advertiseAddress} is no address of this host`;
    return [failed("address", message, "Give berth agent --advertise an address of this host.")];
  }
  if (/^127\.|^::1$/.test(advertiseAddress)) {
    const message = `${advertiseAddress} is this host's own: no other host reaches it`;
    return [warning("address", message, "For more hosts than this one, give --advertise another address.")];
  }
  return [ok("address", `${advertiseAddress} on ${name}`), judgeMtu(name, await mtuOf(name, signal))];
};

export function judgeMtu(name: string, mtu: number): Finding {
  if (mtu >= USUAL_MTU) return ok("MTU", `${mtu} on ${name}`);
  if (mtu >= SMALLEST_MTU) {
    return ok("MTU", `${mtu} on ${name}: networks that span hosts have ${mtu - 50}`);
  }
  return warning(
    "MTU",
    `${mtu} on ${name} is little`,
    "Large packets are cut up; look for a tunnel on the way.",
  );
}
