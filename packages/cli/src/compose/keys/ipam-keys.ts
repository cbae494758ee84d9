import { ipv4Text, type NetworkSpec, parseIpv4, subnetProblem, subnetSize } from "@berth/proto";
import { type Cursor, keyPlace, readItems, readOneOf, readText } from "../tree/cursor.js";
import { applyKeys, type KeyTable } from "../tree/key-table.js";
import { NO_IPV6_MESSAGE } from "./network-attachment-keys.js";
import { ignoreWithWarning } from "./unsupported-keys.js";

const IGNORED_PER_HOST = "ignored: berth assigns a gateway and a range of the subnet to each host";

/** Reads `ipam: { config: [{ subnet: … }] }` of a top-level network. */
export function readIpam(cursor: Cursor, spec: NetworkSpec): void {
  applyKeys(cursor, IPAM_KEYS, spec);
}

const IPAM_KEYS: KeyTable<NetworkSpec> = {
  driver: (cursor) => void readOneOf(cursor, ["default"]),
  config: (cursor, spec) => {
    for (const item of readItems(cursor) ?? []) applyKeys(item, CONFIG_KEYS, spec);
  },
  options: ignoreWithWarning("ignored: berth assigns addresses itself, without an IPAM driver"),
};

const CONFIG_KEYS: KeyTable<NetworkSpec> = {
  subnet: readSubnet,
  gateway: ignoreWithWarning(IGNORED_PER_HOST),
  ip_range: ignoreWithWarning(IGNORED_PER_HOST),
  aux_addresses: ignoreWithWarning(IGNORED_PER_HOST),
};

function readSubnet(cursor: Cursor, spec: NetworkSpec): void {
  const text = readText(cursor);
  if (text === undefined) return;
  const { diagnostics } = cursor;
  if (text.includes(":")) {
    diagnostics.warnIgnored(keyPlace(cursor), `ignored: ${NO_IPV6_MESSAGE}`);
    return;
  }
  if (spec.subnet !== "") {
    diagnostics.warnIgnored(
      keyPlace(cursor),
      `ignored: a network can have only one subnet, and ${spec.subnet} is already set`,
    );
    return;
  }
  const subnet = clearHostBits(text);
  const problem = subnetProblem(subnet);
  if (problem === undefined) {
    spec.subnet = subnet;
  } else {
    diagnostics.error(cursor, problem);
  }
}

/** Clears the host bits as Docker does: "10.0.0.1/24" means 10.0.0.0/24. */
function clearHostBits(text: string): string {
  const [addressText = "", prefix = "", ...rest] = text.split("/");
  const address = parseIpv4(addressText);
  if (address === undefined || rest.length > 0 || !/^(?:[0-9]|[12][0-9]|3[0-2])$/.test(prefix)) return text;
  return `${ipv4Text(address - (address % subnetSize({ prefix: Number(prefix) })))}/${prefix}`;
}
