import { NetworkMode, NetworkSpec, validateNetworkSpec } from "@berth/proto";
import { readIpam } from "./keys/ipam-keys.js";
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
const MTU = { min: 68, max: 65_535 };

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
      "networks without IPv4 are not supported yet: IPv4 stays enabled",
    );
  },
  enable_ipv6: (cursor) => {
    if (readFlag(cursor) !== true) return;
    cursor.diagnostics.warnIgnored(
      keyPlace(cursor),
      "IPv6 networks are not supported yet: IPv6 stays disabled",
    );
  },
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
  const message = `the network driver ${driver} is not supported yet: use overlay or bridge, which have the same effect`;
  cursor.diagnostics.error(cursor, message);
}

function readDriverOptions(cursor: Cursor, { spec }: NetworkDraft): void {
  for (const [key, { value, cursor: field }] of readKeyValues(cursor) ?? []) {
    if (key === "encrypted") spec.encrypted = readEncrypted(value, field);
    else if (key === MTU_OPTION) spec.mtu = readInteger(field, MTU) ?? 0;
    else field.diagnostics.warnIgnored(keyPlace(field), "the option is not supported yet and is ignored");
  }
}

/** Reads an option that is enabled when it has no value, as in Docker's overlay driver. */
function readEncrypted(value: string | null, field: Cursor): boolean {
  return value === null || value === "" || readFlag(field) === true;
}
