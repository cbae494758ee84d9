import { ipv4Text, type NetworkSpec, parseIpv4, subnetProblem, subnetSize } from "@berth/proto";
import { type Cursor, readItems, readOneOf, readText } from "../tree/cursor.js";
import { applyKeys, type KeyTable } from "../tree/key-table.js";
import { ignoreWithWarning } from "./unsupported-keys.js";

const PER_HOST = "each host gets its own gateway and range of the subnet";

/** Reads `ipam: { config: [{ subnet: … }] }`. */
export function readIpam(cursor: Cursor, spec: NetworkSpec): void {
  applyKeys(cursor, IPAM_KEYS, spec);
}

const IPAM_KEYS: KeyTable<NetworkSpec> = {
  driver: (cursor) => void readOneOf(cursor, ["default"]),
  config: (cursor, spec) => {
    for (const item of readItems(cursor) ?? []) applyKeys(item, CONFIG_KEYS, spec);
  },
  options: ignoreWithWarning("the options are ignored"),
};

const CONFIG_KEYS: KeyTable<NetworkSpec> = {
  subnet: readSubnet,
  gateway: ignoreWithWarning(PER_HOST),
  ip_range: ignoreWithWarning(PER_HOST),
  aux_addresses: ignoreWithWarning(PER_HOST),
};

function readSubnet(cursor: Cursor, spec: NetworkSpec): void {
  const text = readText(cursor);
  if (text === undefined) return;
  if (text.includes(":")) ignoreWithWarning("IPv6 subnets are ignored")(cursor, undefined);
  else if (spec.subnet !== "")
    ignoreWithWarning(`a network has one subnet; ${spec.subnet} is used`)(cursor, undefined);
  else {
    const subnet = withoutHostBits(text);
    const problem = subnetProblem(subnet);
    if (problem === undefined) spec.subnet = subnet;
    else cursor.diagnostics.error(cursor, problem);
  }
}

/** Clears the host bits as Docker does: "10.0.0.1/24" means 10.0.0.0/24. */
function withoutHostBits(text: string): string {
  const [address = "", prefix = "", ...rest] = text.split("/");
  const number = parseIpv4(address);
  if (number === undefined || rest.length > 0 || !/^(?:[0-9]|[12][0-9]|3[0-2])$/.test(prefix)) return text;
  return `${ipv4Text(number - (number % subnetSize({ prefix: Number(prefix) })))}/${prefix}`;
}
