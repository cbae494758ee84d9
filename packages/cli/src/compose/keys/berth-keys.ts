import { TrafficSpec, TrafficSpec_Affinity, TrafficSpec_Balance, VolumePolicy } from "@berth/proto";
import { type Cursor, keyPlace, readChoice, readDurationMs, readFlag } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import { isNull } from "../tree/node.js";
import { readAutoscale } from "./autoscale-keys.js";
import { readCron } from "./cron-keys.js";
import { readFailover } from "./failover-keys.js";
import type { ServiceDraft } from "./service-draft.js";

/** The mapping of a service for settings that Compose does not have. */
const BERTH_KEY = "x-berth";

const VOLUME_POLICIES = { sticky: VolumePolicy.STICKY, any: VolumePolicy.ANY };

const AFFINITIES = { none: TrafficSpec_Affinity.NONE, source: TrafficSpec_Affinity.SOURCE };
const BALANCES = {
  "round-robin": TrafficSpec_Balance.ROUND_ROBIN,
  "least-connections": TrafficSpec_Balance.LEAST_CONNECTIONS,
};

const BERTH_KEYS: KeyTable<ServiceDraft> = {
  cron: readCron,
  autoscale: readAutoscale,
  failover: readFailover,
  "at-most-one": rule(readFlag, ({ spec, origins }, atMostOne, cursor) => {
    origins.set("at_most_one", cursor);
    spec.atMostOne = atMostOne;
  }),
  progress_deadline: rule(readDurationMs, ({ update, spec }, ms) => {
    update.progressDeadlineMs = ms;
    if (spec.rollback !== undefined) spec.rollback.progressDeadlineMs = ms;
  }),
  proxy_protocol: rule(readFlag, (draft, proxyProtocol) => {
    trafficOf(draft).proxyProtocol = proxyProtocol;
  }),
  affinity: rule(
    (cursor) => readChoice(cursor, AFFINITIES),
    (draft, affinity) => {
      trafficOf(draft).affinity = affinity;
    },
  ),
  balance: rule(
    (cursor) => readChoice(cursor, BALANCES),
    (draft, balance, cursor) => {
      draft.origins.set("traffic.balance", cursor);
      trafficOf(draft).balance = balance;
    },
  ),
  volumes: rule(
    (cursor) => readChoice(cursor, VOLUME_POLICIES),
    ({ placement }, policy) => {
      placement.volumes = policy;
    },
  ),
};

function trafficOf({ spec }: ServiceDraft): TrafficSpec {
  spec.traffic ??= TrafficSpec.fromPartial({});
  return spec.traffic;
}

/** Reads the `x-berth` mapping of a service. Must run after the Compose keys, which it extends. */
export function readBerthKeys(service: Cursor, draft: ServiceDraft): void {
  for (const field of extensionsOf(service)) {
    if (isNull(field.node)) continue;
    if (field.path.endsWith(`.${BERTH_KEY}`)) applyKeys(field, BERTH_KEYS, draft);
    else reportFlatKey(field);
  }
}

/** Rejects `x-berth` in other mappings, where it would be skipped like any unknown extension. */
export function rejectBerthKeys(cursor: Cursor): void {
  for (const field of extensionsOf(cursor)) {
    field.diagnostics.error(keyPlace(field), `${BERTH_KEY} must be a key of the service, next to image`);
  }
}

/** Rejects keys such as `x-berth.cron: …`, which would be skipped like any unknown extension. */
function reportFlatKey(field: Cursor): void {
  const key = field.path.slice(field.path.indexOf(BERTH_KEY));
  const setting = key.slice(BERTH_KEY.length).replace(/^[^a-z]+/, "");
  const known = Object.keys(BERTH_KEYS).find((name) => name === setting) ?? "KEY";
  field.diagnostics.error(keyPlace(field), `unknown key "${key}": use ${BERTH_KEY}: { ${known}: … }`);
}

/** Returns the fields of a mapping whose key starts with `x-berth`. */
function extensionsOf({ node, path, diagnostics }: Cursor): readonly Cursor[] {
  if (node.kind !== "map") return [];
  return [...node.entries]
    .filter(([key]) => key.startsWith(BERTH_KEY))
    .map(([key, { keyPosition, value }]) => ({
      node: value,
      position: value.position,
      keyPosition,
      path: `${path}.${key}`,
      diagnostics,
    }));
}
