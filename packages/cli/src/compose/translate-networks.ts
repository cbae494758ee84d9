import { NetworkMode, NetworkSpec, validateNetworkSpec } from "@berth/proto";
import { readIpam } from "./keys/ipam-keys.js";
import { NO_IPV6_MESSAGE } from "./keys/network-attachment-keys.js";
import type { StackNetwork } from "./keys/stack-context.js";
import {
  type Cursor,
  keyPlace,
  readFlag,
  readInteger,
  readKeyValues,
  readText,
  readTextMap,
} from "./tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "./tree/key-table.js";
import { isNull } from "./tree/node.js";

interface NetworkDraft {
  name: string;
  isExternal: boolean;
  readonly spec: NetworkSpec;
}

/** Networks that Docker provides on each host. */
const HOST_NETWORKS: ReadonlyMap<string, NetworkMode> = new Map([
  ["bridge", NetworkMode.BRIDGE],
  ["host", NetworkMode.HOST],
  ["none", NetworkMode.NONE],
]);
const DRIVERS = ["", "bridge", "overlay", "default"];
const MTU_OPTION = "com.docker.network.driver.mtu";
const IPV6_OPTION = "com.docker.network.enable_ipv6";

interface BridgeOption {
  /** The values that match the behavior of a network that berth manages, in lower case. */
  readonly matchingValues: readonly string[];
  /** Reason why other values have no effect. */
  readonly reason: string;
}

const TRUE = ["true", "1", "t"];
const FALSE = ["false", "0", "f"];
/** Options of Docker's bridge driver. */
const BRIDGE_OPTIONS: ReadonlyMap<string, BridgeOption> = new Map([
  [
    "com.docker.network.bridge.name",
    { matchingValues: [""], reason: "berth names the bridge of each network itself: bth and a number" },
  ],
  [
    "com.docker.network.bridge.enable_icc",
    { matchingValues: TRUE, reason: "containers in a network that spans hosts can reach each other" },
  ],
  [
    "com.docker.network.bridge.enable_ip_masquerade",
    { matchingValues: TRUE, reason: "containers reach other networks through the address of their host" },
  ],
  [
    "com.docker.network.bridge.host_binding_ipv4",
    {
      matchingValues: ["0.0.0.0", ""],
      reason: 'specify the address for each port, as in "127.0.0.1:8080:80"',
    },
  ],
  [
    "com.docker.network.bridge.default_bridge",
    { matchingValues: FALSE, reason: "it is not the default bridge" },
  ],
]);
const MTU_RANGE = { min: 68, max: 65_535 };

const NETWORK_KEYS: KeyTable<NetworkDraft> = {
  name: rule(readText, (network, name) => {
    network.name = name;
  }),
  external: rule(readFlag, (network, isExternal) => {
    network.isExternal = isExternal;
  }),
  driver: checkDriver,
  driver_opts: readDriverOptions,
  internal: rule(readFlag, ({ spec }, internal) => {
    spec.internal = internal;
  }),
  attachable: rule(readFlag, ({ spec }, attachable) => {
    spec.attachable = attachable;
  }),
  labels: rule(readTextMap, ({ spec }, labels) => {
    spec.labels = labels;
  }),
  ipam: (cursor, { spec }) => readIpam(cursor, spec),
  enable_ipv4: (cursor) => {
    if (readFlag(cursor) !== false) return;
    cursor.diagnostics.warnIgnored(
      keyPlace(cursor),
      "IPv4 stays enabled, because networks that span hosts support IPv4 only",
    );
  },
  enable_ipv6: checkIpv6,
};

/** Translates the networks of a stack. Returns them by the keys that services use. */
export function translateNetworks(
  networks: ReadonlyMap<string, Cursor>,
  stack: string,
): ReadonlyMap<string, StackNetwork> {
  return new Map([...networks].map(([key, cursor]) => [key, translateNetwork(key, cursor, stack)]));
}

function translateNetwork(key: string, cursor: Cursor, stack: string): StackNetwork {
  const draft: NetworkDraft = { name: key, isExternal: false, spec: NetworkSpec.fromPartial({ stack }) };
  if (!isNull(cursor.node)) applyKeys(cursor, NETWORK_KEYS, draft);
  const { name, isExternal, spec } = draft;
  spec.name = name;
  const mode = HOST_NETWORKS.get(name);
  if (mode === undefined) reportViolations(validateNetworkSpec(spec), cursor);
  return { name, isExternal, spec, mode };
}

/** Reports violations of the spec, unless the network already has an error. */
function reportViolations(
  violations: readonly { readonly path: string; readonly message: string }[],
  cursor: Cursor,
): void {
  for (const { path, message } of violations) {
    if (path !== "stack" && !cursor.diagnostics.hasErrorUnder(cursor.path)) {
      cursor.diagnostics.error(keyPlace(cursor), message);
    }
  }
}

function checkDriver(cursor: Cursor): void {
  const driver = readText(cursor);
  if (driver === undefined || DRIVERS.includes(driver) || HOST_NETWORKS.has(driver)) return;
  const message = `the network driver ${driver} is not supported; use overlay or bridge, which have the same effect`;
  cursor.diagnostics.error(cursor, message);
}

function readDriverOptions(cursor: Cursor, { spec }: NetworkDraft): void {
  for (const [key, { value, cursor: field }] of readKeyValues(cursor) ?? []) {
    if (key === "encrypted") {
      spec.encrypted = readEncrypted(value, field);
    } else if (key === MTU_OPTION) {
      spec.mtu = readInteger(field, MTU_RANGE) ?? 0;
    } else if (key === IPV6_OPTION) {
      checkIpv6(field);
    } else {
      checkIgnoredOption(key, value ?? "", field);
    }
  }
}

function checkIpv6(cursor: Cursor): void {
  if (readFlag(cursor) !== true) return;
  cursor.diagnostics.warnIgnored(keyPlace(cursor), `IPv6 stays disabled: ${NO_IPV6_MESSAGE}`);
}

/** Reports an option of Docker's drivers, unless its value matches the behavior anyway. */
function checkIgnoredOption(key: string, value: string, field: Cursor): void {
  const option = BRIDGE_OPTIONS.get(key);
  if (option?.matchingValues.includes(value.toLowerCase())) return;
  const reason = option?.reason ?? "berth does not use the Docker driver that has this option";
  field.diagnostics.warnIgnored(keyPlace(field), `ignored: ${reason}`);
}

/** Reads an option that is enabled when it has no value, as in Docker's overlay driver. */
function readEncrypted(value: string | null, field: Cursor): boolean {
  return value === null || value === "" || readFlag(field) === true;
}
