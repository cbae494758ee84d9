import type { networkInterfaces } from "node:os";
import { readField, readList, readString } from "../../core/docker/json.js";
import { isBridgeName } from "../../core/networks/devices.js";
import type { Vips } from "./vip.js";

/** Prefix length of virtual IPs. The bridge's own address has a shorter one. */
const PREFIX_LENGTH = 32;

/** Virtual IPs, by the bridge that has them. */
export type VipAddresses = ReadonlyMap<string, ReadonlySet<string>>;

/** Parses the output of `ip -json -4 address show`. Returns the host's virtual IPs. */
export function parseAssignedVips(json: unknown): VipAddresses {
  const assigned = new Map<string, Set<string>>();
  for (const link of readList(json)) {
    const bridge = readString(readField(link, "ifname"));
    if (!isBridgeName(bridge)) continue;
    for (const info of readList(readField(link, "addr_info"))) {
      if (readField(info, "prefixlen") === PREFIX_LENGTH) {
        addAddress(assigned, bridge, readString(readField(info, "local")));
      }
    }
  }
  return assigned;
}

/**
 * Returns the virtual IPs in the result of `networkInterfaces()`, which needs no child process. The result may be
 * incomplete: Node does not list a bridge without a running container, because it has no carrier.
 */
export function vipsFromInterfaces(interfaces: ReturnType<typeof networkInterfaces>): VipAddresses {
  const listed = new Map<string, Set<string>>();
  for (const [bridge, infos = []] of Object.entries(interfaces)) {
    if (!isBridgeName(bridge)) continue;
    for (const { cidr, address } of infos) {
      if (cidr === `${address}/${PREFIX_LENGTH}`) addAddress(listed, bridge, address);
    }
  }
  return listed;
}

/** Groups virtual IPs by the bridge that should have them. */
export function groupByBridge(vips: Vips): VipAddresses {
  const desired = new Map<string, Set<string>>();
  for (const { address, bridge } of vips.values()) addAddress(desired, bridge, address);
  return desired;
}

/** Returns lines for `ip -force -batch -` that turn the assigned virtual IPs into the desired ones. */
export function formatAddressChanges(assigned: VipAddresses, vips: Vips): readonly string[] {
  const desired = groupByBridge(vips);
  return [...linesForMissing("delete", assigned, desired), ...linesForMissing("add", desired, assigned)];
}

/** Returns a line for each address in `from` that is not in `others`. */
function linesForMissing(
  verb: "add" | "delete",
  from: VipAddresses,
  others: VipAddresses,
): readonly string[] {
  return [...from].flatMap(([bridge, addresses]) =>
    [...addresses]
      .filter((address) => others.get(bridge)?.has(address) !== true)
      .map((address) => `address ${verb} ${address}/${PREFIX_LENGTH} dev ${bridge}`),
  );
}

function addAddress(addresses: Map<string, Set<string>>, bridge: string, address: string): void {
  const onBridge = addresses.get(bridge);
  if (onBridge === undefined) addresses.set(bridge, new Set([address]));
  else onBridge.add(address);
}
