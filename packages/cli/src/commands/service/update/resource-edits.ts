import { RestartPolicy_Condition } from "@berth/proto";
import { invalid, type Parsed, valid } from "../../../compose/text/parsed.js";
import { parseBytes, parseDurationMs, parseNanoCpus } from "../../../compose/text/units.js";
import { type Edit, edit, inContainer, inResources, inRestart } from "./edit.js";
import {
  choiceParser,
  integerParser,
  parseAssignment,
  parseBoolean,
  parseCount,
  parseNonEmptyText,
  parseText,
  removeKey,
} from "./parse-flag-values.js";

const UNLIMITED = -1;

const RESTART_CONDITIONS = {
  any: RestartPolicy_Condition.ANY,
  "on-failure": RestartPolicy_Condition.ON_FAILURE,
  none: RestartPolicy_Condition.NONE,
};

/** Flags for limits of a container that the scheduler does not consider. */
const CONTAINER_LIMIT_EDITS = {
  "memory-swap": edit(
    parseSwapBytes,
    inContainer((_, memorySwapBytes) => ({ memorySwapBytes })),
  ),
  "memory-swappiness": edit(
    parseCount,
    inContainer((_, memorySwappiness) => ({ memorySwappiness })),
  ),
  "shm-size": edit(
    parseBytes,
    inContainer((_, shmSizeBytes) => ({ shmSizeBytes })),
  ),
  "oom-kill-disable": edit(
    parseBoolean,
    inContainer((_, oomKillDisable) => ({ oomKillDisable })),
  ),
  "cpu-shares": edit(
    parseCount,
    inContainer((_, cpuShares) => ({ cpuShares })),
  ),
  "cpuset-cpus": edit(
    parseText,
    inContainer((_, cpuset) => ({ cpuset })),
  ),
  "cpu-period": edit(
    integerParser(0),
    inContainer((_, cpuPeriodUs) => ({ cpuPeriodUs })),
  ),
  "cpu-quota": edit(
    integerParser(UNLIMITED),
    inContainer((_, cpuQuotaUs) => ({ cpuQuotaUs })),
  ),
  "cpu-rt-period": edit(
    integerParser(0),
    inContainer((_, cpuRealtimePeriodUs) => ({ cpuRealtimePeriodUs })),
  ),
  "cpu-rt-runtime": edit(
    integerParser(0),
    inContainer((_, cpuRealtimeRuntimeUs) => ({ cpuRealtimeRuntimeUs })),
  ),
  "storage-opt-rm": edit(
    parseNonEmptyText,
    inContainer(({ storageOpt }, key) => ({ storageOpt: removeKey(storageOpt, key) })),
  ),
  "storage-opt-add": edit(
    parseAssignment,
    inContainer(({ storageOpt }, { key, value }) => ({ storageOpt: { ...storageOpt, [key]: value } })),
  ),
} satisfies Readonly<Record<string, Edit>>;

/** Flags that change resource limits, reservations and the restart policy. */
export const RESOURCE_EDITS = {
  ...CONTAINER_LIMIT_EDITS,
  "limit-cpu": edit(
    parseNanoCpus,
    inResources("limits", (_, nanoCpus) => ({ nanoCpus })),
  ),
  "limit-memory": edit(
    parseBytes,
    inResources("limits", (_, memoryBytes) => ({ memoryBytes })),
  ),
  "limit-pids": edit(
    parseCount,
    inResources("limits", (_, pids) => ({ pids })),
  ),
  "reserve-cpu": edit(
    parseNanoCpus,
    inResources("reservations", (_, nanoCpus) => ({ nanoCpus })),
  ),
  "reserve-memory": edit(
    parseBytes,
    inResources("reservations", (_, memoryBytes) => ({ memoryBytes })),
  ),
  "generic-resource-rm": edit(
    parseNonEmptyText,
    inResources("reservations", ({ generic }, kind) => ({ generic: removeKey(generic, kind) })),
  ),
  "generic-resource-add": edit(
    parseGenericResource,
    inResources("reservations", ({ generic }, { kind, amount }) => ({
      generic: { ...generic, [kind]: amount },
    })),
  ),
  "restart-condition": edit(
    choiceParser(RESTART_CONDITIONS),
    inRestart((_, condition) => ({ condition })),
  ),
  "restart-delay": edit(
    parseDurationMs,
    inRestart((_, delayMs) => ({ delayMs })),
  ),
  "restart-max-attempts": edit(
    parseCount,
    inRestart((_, maxAttempts) => ({ maxAttempts })),
  ),
  "restart-window": edit(
    parseDurationMs,
    inRestart((_, windowMs) => ({ windowMs })),
  ),
} satisfies Readonly<Record<string, Edit>>;

/** Parses a size, or -1 for unlimited swap. */
function parseSwapBytes(text: string): Parsed<number> {
  return text === String(UNLIMITED) ? valid(UNLIMITED) : parseBytes(text);
}

/** Parses `gpu=1`. */
function parseGenericResource(text: string): Parsed<{ readonly kind: string; readonly amount: number }> {
  const pair = parseAssignment(text);
  if (pair.kind === "invalid") return pair;
  const amount = parseCount(pair.value.value);
  return amount.kind === "invalid"
    ? invalid(`${JSON.stringify(text)} is not KIND=COUNT`)
    : valid({ kind: pair.value.key, amount: amount.value });
}
