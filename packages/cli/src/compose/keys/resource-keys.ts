import {
  type Cursor,
  type NumberRange,
  readBytes,
  readFields,
  readFlag,
  readInteger,
  readNanoCpus,
  readText,
  readTextMap,
  reportWrongType,
} from "../tree/cursor.js";
import { applyKeys, type KeyRule, type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";
import { ignoreWithWarning } from "./unsupported-keys.js";

const ANY_INT: NumberRange = { min: -(2 ** 31), max: 2 ** 31 - 1 };
const SWAPPINESS: NumberRange = { min: 0, max: 100 };
const OOM_SCORE: NumberRange = { min: -1000, max: 1000 };
/** -1 means unlimited. */
const ULIMIT: NumberRange = { min: -1, max: Number.MAX_SAFE_INTEGER };

/** Compose's older keys for limits. `deploy.resources` runs later and overrides them. */
export const RESOURCE_KEYS: KeyTable<ServiceDraft> = {
  cpus: rule(readNanoCpus, (draft, nano) => {
    draft.limits.nanoCpus = nano;
  }),
  mem_limit: rule(readBytes, (draft, bytes) => {
    draft.limits.memoryBytes = bytes;
  }),
  mem_reservation: rule(readBytes, (draft, bytes) => {
    draft.reservations.memoryBytes = bytes;
  }),
  pids_limit: integerRule(ANY_INT, (draft, pids) => {
    draft.limits.pids = pids;
  }),
  memswap_limit: rule(readSwapBytes, (draft, bytes) => {
    draft.container.memorySwapBytes = bytes;
  }),
  mem_swappiness: integerRule(SWAPPINESS, (draft, swappiness) => {
    draft.container.memorySwappiness = swappiness;
  }),
  cpu_shares: integerRule(ANY_INT, (draft, shares) => {
    draft.container.cpuShares = shares;
  }),
  cpuset: rule(readText, (draft, cpuset) => {
    draft.container.cpuset = cpuset;
  }),
  shm_size: rule(readBytes, (draft, bytes) => {
    draft.container.shmSizeBytes = bytes;
  }),
  oom_score_adj: integerRule(OOM_SCORE, (draft, score) => {
    draft.container.oomScoreAdj = score;
  }),
  oom_kill_disable: rule(readFlag, (draft, disabled) => {
    draft.container.oomKillDisable = disabled;
  }),
  storage_opt: rule(readTextMap, (draft, options) => {
    draft.container.storageOpt = options;
  }),
  ulimits: rule(readUlimits, (draft, ulimits) => {
    draft.container.ulimits = ulimits;
  }),
  blkio_config: ignoreWithWarning("blkio_config is ignored; disk bandwidth is unlimited"),
  cpu_count: ignoreWithWarning("Windows only; use cpus"),
  cpu_percent: ignoreWithWarning("Windows only; use cpus"),
  cpu_period: ignoreWithWarning("it does not limit CPU; use cpus"),
  cpu_quota: ignoreWithWarning("it does not limit CPU; use cpus"),
  cpu_rt_period: ignoreWithWarning("real-time scheduling is ignored"),
  cpu_rt_runtime: ignoreWithWarning("real-time scheduling is ignored"),
};

function integerRule(
  range: NumberRange,
  write: (draft: ServiceDraft, value: number) => void,
): KeyRule<ServiceDraft> {
  return rule((cursor) => readInteger(cursor, range), write);
}

/** Reads a size in bytes, or -1 for unlimited swap. */
function readSwapBytes(cursor: Cursor): number | undefined {
  const unlimited = cursor.node.kind === "scalar" && String(cursor.node.value) === "-1";
  return unlimited ? -1 : readBytes(cursor);
}

interface UlimitDraft {
  readonly name: string;
  soft: number;
  hard: number;
}

function readUlimits(cursor: Cursor): UlimitDraft[] | undefined {
  const fields = readFields(cursor);
  return (
    fields &&
    [...fields].map(([name, field]) => readUlimit(name, field)).filter((limit) => limit !== undefined)
  );
}

function readUlimit(name: string, cursor: Cursor): UlimitDraft | undefined {
  if (cursor.node.kind === "scalar") {
    const both = readInteger(cursor, ULIMIT);
    return both === undefined ? undefined : { name, soft: both, hard: both };
  }
  const unset = Number.NaN;
  const limit: UlimitDraft = { name, soft: unset, hard: unset };
  applyKeys(cursor, ULIMIT_KEYS, limit);
  if (!Number.isNaN(limit.soft) && !Number.isNaN(limit.hard)) return limit;
  return cursor.node.kind === "map" ? reportWrongType(cursor, "a number, or soft and hard") : undefined;
}

const ULIMIT_KEYS: KeyTable<UlimitDraft> = {
  soft: rule(
    (cursor) => readInteger(cursor, ULIMIT),
    (limit, soft) => {
      limit.soft = soft;
    },
  ),
  hard: rule(
    (cursor) => readInteger(cursor, ULIMIT),
    (limit, hard) => {
      limit.hard = hard;
    },
  ),
};
