import type { NodeStats, ResourceUsage } from "@berth/proto";
import type { UsageSample } from "./container-usage.js";
import type { HostUsage } from "./host-usage.js";

const MS_PER_S = 1_000;
const NS_PER_MS = 1e6;

/**
 * Returns the CPU usage between two samples of a container or host, in percent of one CPU, or undefined if they cannot
 * be compared, because the container was restarted or no time has passed.
 */
export function cpuPercent(before: UsageSample, after: UsageSample): number | undefined {
  const elapsedNs = (after.monotonicMs - before.monotonicMs) * NS_PER_MS;
  const usedNs = after.cpuNs - before.cpuNs;
  return elapsedNs <= 0 || usedNs < 0 ? undefined : (100 * usedNs) / elapsedNs;
}

/** Returns the resource usage between two samples of a container or host, or undefined if they cannot be compared. */
export function usageBetween(before: UsageSample, after: UsageSample): ResourceUsage | undefined {
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

/** Returns the resource usage between two samples of the host, and its total resources. */
export function nodeStatsBetween(before: HostUsage, after: HostUsage): NodeStats {
  const { cpus, memoryTotalBytes } = after;
  return { usage: usageBetween(before, after), cpus, memoryTotalBytes };
}
