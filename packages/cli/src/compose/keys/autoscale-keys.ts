import { AutoscaleSpec, MAX_REPLICAS } from "@berth/proto";
import { type Cursor, keyPlace, readDurationMs, readInteger, readNumber } from "../tree/cursor.js";
import { applyKeys, type KeyRule, type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";

const REPLICA_RANGE = { min: 0, max: MAX_REPLICAS };
const CONNECTION_RANGE = { min: 0, max: 1_000_000 };
/** Default maximum of a service that runs only while clients use it. */
const DEFAULT_MAX = 1;
/**
 * Range of the target usage, in percent of a replica's CPU limit or reservation. A replica that bursts uses more than
 * 100 %.
 */
const PERCENT_RANGE = { min: 0, max: 10_000 };

/** Reads `autoscale: { min, max, target_cpu | target_connections }`. */
export function readAutoscale(cursor: Cursor, draft: ServiceDraft): void {
  draft.origins.set("autoscale", cursor);
  const autoscale: AutoscaleDraft = { spec: AutoscaleSpec.fromPartial({}), boundsSet: new Set() };
  applyKeys(cursor, AUTOSCALE_KEYS, autoscale);
  if (cursor.diagnostics.hasErrorUnder(cursor.path)) return;
  const { spec, boundsSet } = autoscale;
  if (boundsSet.has("min") && spec.min === 0 && !boundsSet.has("max")) {
    spec.max = DEFAULT_MAX;
    boundsSet.add("max");
  }
  const missing = ["min", "max"].filter((key) => !boundsSet.has(key));
  if (missing.length > 0) {
    cursor.diagnostics.error(keyPlace(cursor), `${missing.join(" and ")} must be set`);
  } else {
    draft.spec.autoscale = spec;
  }
}

interface AutoscaleDraft {
  readonly spec: AutoscaleSpec;
  /** The bounds that the file sets. Zero is a valid bound, so the spec alone does not show it. */
  readonly boundsSet: Set<string>;
}

const AUTOSCALE_KEYS: KeyTable<AutoscaleDraft> = {
  min: boundRule("min"),
  max: boundRule("max"),
  target_cpu: rule(
    (cursor) => readNumber(cursor, PERCENT_RANGE),
    ({ spec }, percent) => {
      spec.targetCpuPercent = percent;
    },
  ),
  target_connections: rule(
    (cursor) => readNumber(cursor, CONNECTION_RANGE),
    ({ spec }, connections) => {
      spec.targetConnections = connections;
    },
  ),
  scale_up_window: rule(readDurationMs, ({ spec }, ms) => {
    spec.scaleUpWindowMs = ms;
  }),
  scale_down_window: rule(readDurationMs, ({ spec }, ms) => {
    spec.scaleDownWindowMs = ms;
  }),
};

function boundRule(key: "min" | "max"): KeyRule<AutoscaleDraft> {
  return rule(
    (cursor) => readInteger(cursor, REPLICA_RANGE),
    ({ spec, boundsSet }, replicas) => {
      spec[key] = replicas;
      boundsSet.add(key);
    },
  );
}
