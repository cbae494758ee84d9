import { fieldOf, listOf, textOf } from "../../core/docker/json.js";
import { isBridgeName } from "../../core/networks/devices.js";
import type { Vip, Vips } from "./vip.js";

/** Only addresses on bridges of ours, and only single ones, are taken for virtual IPs. */
const SINGLE = 32;

/** Virtual IPs that this host has already, as "address bridge", from `ip -json -4 address show`. */
export function presentVips(json: unknown): ReadonlySet<string> {
  const present = new Set<string>();
  for (const link of listOf(json)) {
    const bridge = textOf(fieldOf(link, "ifname"));
    if (!isBridgeName(bridge)) continue;
    for (const info of listOf(fieldOf(link, "addr_info"))) {
      if (fieldOf(info, "prefixlen") === SINGLE) present.add(`${textOf(fieldOf(info, "local"))} ${bridge}`);
    }
  }
  return present;
}

/** Lines for `ip -force -batch -` that give the bridges the virtual IPs that they lack, and take others away. */
export function addressChanges(present: ReadonlySet<string>, vips: Vips): readonly string[] {
  const wanted = wantedVips(vips);
  const line = (verb: string, pair: string): string => {
    const [address, bridge] = pair.split(" ");
    return `address ${verb} ${address}/${SINGLE} dev ${bridge}`;
  };
  return [
    ...[...present].filter((pair) => !wanted.has(pair)).map((pair) => line("delete", pair)),
    ...[...wanted].filter((pair) => !present.has(pair)).map((pair) => line("add", pair)),
  ];
}

/** As `presentVips` tells of them. */
export function wantedVips(vips: Vips): ReadonlySet<string> {
  return new Set([...vips.values()].map(onBridge));
}

export function onBridge({ address, bridge }: Vip): string {
  return `${address} ${bridge}`;
}
