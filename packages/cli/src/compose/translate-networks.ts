import { NetworkMode, NetworkSpec, scopedName, validateNetworkSpec } from "@berth/proto";
import { readIpam } from "./keys/ipam-keys.js";
import type { Project, StackNetwork } from "./keys/stack-context.js";
import {
  type Cursor,
  keyPlace,
  readFields,
  readFlag,
  readInteger,
  readKeyValues,
  readText,
  readTextMap,
} from "./tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "./tree/key-table.js";
import { isNull } from "./tree/node.js";

interface NetworkDraft {
  name: string | undefined;
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

const NAME_KEY: KeyTable<NetworkDraft> = {
  name: rule(readText, (network, name) => {
    network.name = name;
  }),
};

const NETWORK_KEYS: KeyTable<NetworkDraft> = {
  ...NAME_KEY,
  external: readExternal,
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
    cursor.diagnostics.warn(
      keyPlace(cursor),
      "networks without IPv4 are not supported yet: IPv4 stays enabled",
    );
  },
  enable_ipv6: (cursor) => {
    if (readFlag(cursor) !== true) return;
    cursor.diagnostics.warn(keyPlace(cursor), "IPv6 networks are not supported yet: IPv6 stays disabled");
  },
};

/** Translates the top-level `networks:` of a Compose file. Returns the networks by the keys that services use. */
export function translateNetworks(cursor: Cursor, project: Project): ReadonlyMap<string, StackNetwork> {
  const networks = new Map<string, StackNetwork>();
  for (const [key, field] of readFields(cursor) ?? [])
    networks.set(key, translateNetwork(key, field, project));
  return networks;
}

function translateNetwork(key: string, cursor: Cursor, { stack }: Project): StackNetwork {
  const draft: NetworkDraft = {
    name: undefined,
    isExternal: false,
    spec: NetworkSpec.fromPartial({ stack }),
  };
  if (!isNull(cursor.node)) applyKeys(cursor, NETWORK_KEYS, draft);
  const { isExternal, spec } = draft;
  const name = draft.name ?? (isExternal ? key : scopedName(stack, key));
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

/** Reads `external: true`, or the old form `external: {name: …}`. */
function readExternal(cursor: Cursor, network: NetworkDraft): void {
  if (cursor.node.kind === "map") {
    network.isExternal = true;
    applyKeys(cursor, NAME_KEY, network);
  } else network.isExternal = readFlag(cursor) ?? false;
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
    else field.diagnostics.warn(keyPlace(field), "the option is not supported yet and is ignored");
  }
}

/** Reads an option that is enabled when it has no value, as in Docker's overlay driver. */
function readEncrypted(value: string | null, field: Cursor): boolean {
  return value === null || value === "" || readFlag(field) === true;
}
