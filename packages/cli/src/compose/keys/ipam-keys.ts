import { ipv4Text, type NetworkSpec, parseIpv4, subnetProblem, subnetSize } from "@berth/proto";
import { type Cursor, readItems, readOneOf, readText } from "../tree/cursor.js";
import { applyKeys } from "../tree/key-table.js";
import { ignoreWithWarning } from "./not-supported.js";
import type { KeyTable } from "./service-draft.js";

const OWN_GATEWAY = "each host has a gateway and a range of its own in the network";

/** `ipam: { config: [{ subnet: … }] }` */
export function readIpam(cursor: Cursor, spec: NetworkSpec): void {
  applyKeys(cursor, IPAM_KEYS, spec);
}

const IPAM_KEYS: KeyTable<NetworkSpec> = {
  driver: (cursor) => void readOneOf(cursor, ["default"]),
  config: (cursor, spec) => {
    for (const item of readItems(cursor) ?? []) applyKeys(item, CONFIG_KEYS, spec);
  },
  options: ignoreWithWarning("the options have no effect"),
};

const CONFIG_KEYS: KeyTable<NetworkSpec> = {
  subnet: readSubnet,
  gateway: ignoreWithWarning(OWN_GATEWAY),
  ip_range: ignoreWithWarning(OWN_GATEWAY),
  aux_addresses: ignoreWithWarning(OWN_GATEWAY),
};

function readSubnet(cursor: Cursor, spec: NetworkSpec): void {
  const text = readText(cursor);
  if (text === undefined) return;
  if (text.includes(":")) ignoreWithWarning("networks have no IPv6 addresses")(cursor, undefined);
  else if (spec.subnet !== "")
    ignoreWithWarning(`a network has one subnet, here ${spec.subnet}`)(cursor, undefined);
  else {
    const subnet = masked(text);
    const problem = subnetProblem(subnet);
    if (problem === undefined) spec.subnet = subnet;
    else cursor.diagnostics.error(cursor, problem);
  }
}

/** As Docker takes it: "10.0.0.1/24" means 10.0.0.0/24. */
function masked(text: string): string {
  const [address = "", prefix = "", ...rest] = text.split("/");
  const number = parseIpv4(address);
  if (number === undefined || rest.length > 0 || !/^(?:[0-9]|[12][0-9]|3[0-2])$/.test(prefix)) return text;
  return `${ipv4Text(number - (number % subnetSize({ prefix: Number(prefix) })))}/${prefix}`;
}
