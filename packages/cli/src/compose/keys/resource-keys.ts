import type { Ulimit } from "@berth/proto";
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
import { readBlockIo } from "./block-io-keys.js";
import type { ServiceDraft } from "./service-draft.js";
import { ignoreWithNote } from "./unsupported-keys.js";

const INT32: NumberRange = { min: -(2 ** 31), max: 2 ** 31 - 1 };
const SWAPPINESS_RANGE: NumberRange = { min: 0, max: 100 };
const MICROSECONDS_RANGE: NumberRange = { min: 0, max: Number.MAX_SAFE_INTEGER };
/** Range of the CPU quota. -1 means unlimited. */
const CPU_QUOTA: NumberRange = { min: -1, max: Number.MAX_SAFE_INTEGER };
const WINDOWS_CPU_KEY = "the key has an effect on Windows only; use cpus";
const OOM_SCORE: NumberRange = { min: -1000, max: 1000 };
/** Range of a ulimit. -1 means unlimited. */
const ULIMIT_RANGE: NumberRange = { min: -1, max: Number.MAX_SAFE_INTEGER };

/** Reads Compose's older keys for resources. `deploy.resources` is read later and overrides them. */
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
  pids_limit: integerRule(INT32, (draft, pids) => {
    draft.limits.pids = pids;
  }),
  memswap_limit: rule(readSwapBytes, (draft, bytes) => {
    draft.container.memorySwapBytes = bytes;
  }),
  mem_swappiness: integerRule(SWAPPINESS_RANGE, (draft, swappiness) => {
    draft.container.memorySwappiness = swappiness;
  }),
  cpu_shares: integerRule(INT32, (draft, shares) => {
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
  blkio_config: readBlockIo,
  cpu_count: ignoreWithNote(WINDOWS_CPU_KEY),
  cpu_percent: ignoreWithNote(WINDOWS_CPU_KEY),
  cpu_period: integerRule(MICROSECONDS_RANGE, (draft, us) => {
    draft.container.cpuPeriodUs = us;
  }),
  cpu_quota: integerRule(CPU_QUOTA, (draft, us) => {
    draft.container.cpuQuotaUs = us;
  }),
  cpu_rt_period: integerRule(MICROSECONDS_RANGE, (draft, us) => {
    draft.container.cpuRealtimePeriodUs = us;
  }),
  cpu_rt_runtime: integerRule(MICROSECONDS_RANGE, (draft, us) => {
    draft.container.cpuRealtimeRuntimeUs = us;
  }),
};

function integerRule(
  range: NumberRange,
  write: (draft: ServiceDraft, value: number) => void,
): KeyRule<ServiceDraft> {
  return rule((cursor) => readInteger(cursor, range), write);
}

/** Reads a size in bytes, or -1 for unlimited swap. */
function readSwapBytes(cursor: Cursor): number | undefined {
  const isUnlimited = cursor.node.kind === "scalar" && String(cursor.node.value) === "-1";
  return isUnlimited ? -1 : readBytes(cursor);
}

interface UlimitDraft {
  soft: number | undefined;
  hard: number | undefined;
}

/** Reads a mapping of names to a number, or to a soft and a hard limit. */
export function readUlimits(cursor: Cursor): Ulimit[] | undefined {
  const fields = readFields(cursor);
  return (
    fields &&
    [...fields].map(([name, field]) => readUlimit(name, field)).filter((limit) => limit !== undefined)
  );
}

function readUlimit(name: string, cursor: Cursor): Ulimit | undefined {
  if (cursor.node.kind === "scalar") {
    const both = readInteger(cursor, ULIMIT_RANGE);
    return both === undefined ? undefined : { name, soft: both, hard: both };
  }
  const limit: UlimitDraft = { soft: undefined, hard: undefined };
  applyKeys(cursor, ULIMIT_KEYS, limit);
  const { soft, hard } = limit;
  if (soft !== undefined && hard !== undefined) return { name, soft, hard };
  return cursor.node.kind === "map" ? reportWrongType(cursor, "a number, or soft and hard") : undefined;
}

const ULIMIT_KEYS: KeyTable<UlimitDraft> = {
  soft: rule(
    (cursor) => readInteger(cursor, ULIMIT_RANGE),
    (limit, soft) => {
      limit.soft = soft;
    },
  ),
  hard: rule(
    (cursor) => readInteger(cursor, ULIMIT_RANGE),
    (limit, hard) => {
      limit.hard = hard;
    },
  ),
};
