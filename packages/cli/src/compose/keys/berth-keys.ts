import { TrafficSpec, TrafficSpec_Affinity, TrafficSpec_Balance, VolumePolicy } from "@berth/proto";
import { type Cursor, keyPlace, listFields, readChoice, readDurationMs, readFlag } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import { isNull } from "../tree/node.js";
import { readAutoscale } from "./autoscale-keys.js";
import { readCron } from "./cron-keys.js";
import { readFailover } from "./failover-keys.js";
import { readEnvSecrets } from "./file-keys.js";
import type { ServiceDraft } from "./service-draft.js";
import { readBeside } from "./sharing-keys.js";

/** Service key that holds the settings that Compose does not define. */
const BERTH_KEY = "x-berth";
/** Pattern of `x-berth` and misspellings such as `x-berth.cron`, but not of another tool's extension `x-berthold`. */
const BERTH_KEY_PATTERN = /^x-berth(?![a-z0-9])/i;

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
  env_secrets: readEnvSecrets,
  beside: readBeside,
  // The other keys use underscores, as in Compose. The older spelling with hyphens remains valid.
  at_most_one: readAtMostOne,
  "at-most-one": readAtMostOne,
  progress_deadline: rule(readDurationMs, ({ update, spec }, ms) => {
    update.progressDeadlineMs = ms;
    if (spec.rollback !== undefined) spec.rollback.progressDeadlineMs = ms;
  }),
  proxy_protocol: rule(readFlag, (draft, proxyProtocol) => {
    ensureTraffic(draft).proxyProtocol = proxyProtocol;
  }),
  affinity: rule(
    (cursor) => readChoice(cursor, AFFINITIES),
    (draft, affinity) => {
      ensureTraffic(draft).affinity = affinity;
    },
  ),
  balance: rule(
    (cursor) => readChoice(cursor, BALANCES),
    (draft, balance, cursor) => {
      draft.origins.set("traffic.balance", cursor);
      ensureTraffic(draft).balance = balance;
    },
  ),
  hold: rule(readHold, (draft, holdMs, cursor) => {
    draft.origins.set("traffic.hold_ms", cursor);
    ensureTraffic(draft).holdMs = holdMs;
  }),
  ship: rule(readFlag, (draft, ships) => {
    draft.shipsBindMounts = ships;
  }),
  volumes: rule(
    (cursor) => readChoice(cursor, VOLUME_POLICIES),
    ({ placement }, policy) => {
      placement.volumes = policy;
    },
  ),
};

const setAtMostOne = rule<boolean, ServiceDraft>(readFlag, ({ spec, origins }, atMostOne, cursor) => {
  origins.set("at_most_one", cursor);
  spec.atMostOne = atMostOne;
});

/** Reads either spelling of the key. Reports an error if a service has both. */
function readAtMostOne(cursor: Cursor, draft: ServiceDraft): void {
  if (draft.origins.has("at_most_one")) {
    cursor.diagnostics.error(
      keyPlace(cursor),
      "at_most_one and at-most-one are the same key; remove one of them",
    );
  } else {
    setAtMostOne(cursor, draft);
  }
}

/** Reads `hold: 10s` or `hold: off` as a duration in ms. 0 for `off`. */
function readHold(cursor: Cursor): number | undefined {
  const isOff = cursor.node.kind === "scalar" && cursor.node.value === "off";
  return isOff ? 0 : readDurationMs(cursor);
}

/** Returns the traffic settings of the draft. Creates them for the first key that needs them. */
function ensureTraffic({ spec }: ServiceDraft): TrafficSpec {
  spec.traffic ??= TrafficSpec.fromPartial({});
  return spec.traffic;
}

/** Reads the `x-berth` mapping of a service. Must run after the Compose keys, because its keys extend them. */
export function readBerthKeys(service: Cursor, draft: ServiceDraft): void {
  for (const [key, field] of berthFields(service)) {
    if (isNull(field.node)) continue;
    if (key === BERTH_KEY) {
      applyKeys(field, BERTH_KEYS, draft);
    } else {
      reportFlatKey(key, field);
    }
  }
}

/** Rejects `x-berth` in other mappings, which Compose would ignore like any unknown extension. */
export function rejectBerthKeys(cursor: Cursor): void {
  for (const [, field] of berthFields(cursor)) {
    field.diagnostics.error(keyPlace(field), `${BERTH_KEY} must be a key of the service, next to image`);
  }
}

/** Rejects keys such as `x-berth.cron: …`, which Compose would ignore like any unknown extension. */
function reportFlatKey(key: string, field: Cursor): void {
  const setting = key.slice(BERTH_KEY.length).replace(/^[^a-z]+/, "");
  const keyName = Object.keys(BERTH_KEYS).find((name) => name === setting) ?? "KEY";
  field.diagnostics.error(keyPlace(field), `unknown key "${key}"; use ${BERTH_KEY}: { ${keyName}: … }`);
}

/** Returns the fields of a mapping whose keys are `x-berth` or a misspelling of it. */
function berthFields(cursor: Cursor): readonly (readonly [key: string, field: Cursor])[] {
  return [...listFields(cursor)].filter(([key]) => BERTH_KEY_PATTERN.test(key));
}
