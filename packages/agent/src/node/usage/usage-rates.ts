import type { NodeStats, ResourceUsage } from "@berth/proto";
import { cpuPercent, type UsageSample } from "./container-usage.js";
import type { HostUsage } from "./host-usage.js";

const MS_PER_S = 1_000;

/** Of a container or a host. */
type Counters = Pick<UsageSample, keyof UsageSample>;

/** What was used between two samples of one container; undefined when they say nothing. */
export function usageBetween(before: Counters, after: Counters): ResourceUsage | undefined {
  const percent = cpuPercent(before, after);
  if (percent === undefined) return undefined;
  const seconds = (after.monotonicMs - before.monotonicMs) / MS_PER_S;
  return {
    cpuPercent: percent,
    memoryBytes: after.memoryBytes,
    receivedBytesPerSecond: Math.max(0, after.receivedBytes - before.receivedBytes) / seconds,
    sentBytesPerSecond: Math.max(0, after.sentBytes - before.sentBytes) / seconds,
  };
}

/** The same of a host, which is never another one. */
export function nodeStatsBetween(before: HostUsage, after: HostUsage): NodeStats {
  const { cpus, memoryTotalBytes } = after;
  return { usage: usageBetween(before, after), cpus, memoryTotalBytes };
}
