import type { networkInterfaces } from "node:os";
import { fieldOf, listOf, textOf } from "../../core/docker/json.js";
import { isBridgeName } from "../../core/networks/devices.js";
import type { Vip, Vips } from "./vip.js";

/** Prefix length of virtual IPs. The bridge's own address has a shorter one. */
const PREFIX_LENGTH = 32;

/** Parses the output of `ip -json -4 address show`. Returns the host's virtual IPs as "ADDRESS BRIDGE". */
export function assignedVips(json: unknown): ReadonlySet<string> {
  const assigned = new Set<string>();
  for (const link of listOf(json)) {
    const bridge = textOf(fieldOf(link, "ifname"));
    if (!isBridgeName(bridge)) continue;
    for (const info of listOf(fieldOf(link, "addr_info"))) {
      if (fieldOf(info, "prefixlen") === PREFIX_LENGTH) {
        assigned.add(`${textOf(fieldOf(info, "local"))} ${bridge}`);
      }
    }
  }
  return assigned;
}

/**
 * Returns the virtual IPs that `networkInterfaces()` lists, in the form of {@link assignedVips}. Without a program, but
 * incomplete: a bridge without a running container has no carrier and is not listed.
 */
export function listedVips(interfaces: ReturnType<typeof networkInterfaces>): ReadonlySet<string> {
  const listed = new Set<string>();
  for (const [bridge, infos = []] of Object.entries(interfaces)) {
    if (!isBridgeName(bridge)) continue;
    for (const { cidr, address } of infos) {
      if (cidr === `${address}/${PREFIX_LENGTH}`) listed.add(`${address} ${bridge}`);
    }
  }
  return listed;
}

/** Returns lines for `ip -force -batch -` that turn the assigned virtual IPs into the desired ones. */
export function addressChanges(assigned: ReadonlySet<string>, vips: Vips): readonly string[] {
  const desired = desiredAddresses(vips);
  const line = (verb: "add" | "delete", entry: string): string => {
    const [address, bridge] = entry.split(" ");
    return `address ${verb} ${address}/${PREFIX_LENGTH} dev ${bridge}`;
  };
  return [
    ...[...assigned].filter((entry) => !desired.has(entry)).map((entry) => line("delete", entry)),
    ...[...desired].filter((entry) => !assigned.has(entry)).map((entry) => line("add", entry)),
  ];
}

/** Returns the addresses that the host should have, in the form of {@link assignedVips}. */
export function desiredAddresses(vips: Vips): ReadonlySet<string> {
  return new Set([...vips.values()].map(addressEntry));
}

export function addressEntry({ address, bridge }: Vip): string {
  return `${address} ${bridge}`;
}
