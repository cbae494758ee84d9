import type { RequestResult } from "./load-generator.js";
import { median } from "./report.js";

/** Number of failures that a summary lists. */
const MAX_DETAILS = 4;

export interface Failures {
  /** Requests that were sent after the fault and should have succeeded. */
  readonly failed: readonly RequestResult[];
  /**
   * Requests that were in flight when a process or host was killed. No proxy can save those that the victim handled.
   */
  readonly severed: readonly RequestResult[];
}

/** Separates inexcusable failures from those of requests that were in flight when a process or host was killed. */
export function failuresOf(results: readonly RequestResult[], severedAtMs: number): Failures {
  const failures = results.filter(({ failure }) => failure !== "");
  return {
    failed: failures.filter(({ sentAtMs }) => sentAtMs > severedAtMs),
    severed: failures.filter(({ sentAtMs }) => sentAtMs <= severedAtMs),
  };
}

/** Returns the slowest successful request on a new connection. */
export function slowestConnection(results: readonly RequestResult[]): RequestResult | undefined {
  let slowest: RequestResult | undefined;
  for (const result of results) {
    if (result.client !== "new" || result.failure !== "") continue;
    if (result.latencyMs > (slowest?.latencyMs ?? 0)) slowest = result;
  }
  return slowest;
}

/** Returns the longest time that a client waited for a reply, on a new or an existing connection. */
export function longestWaitMs(results: readonly RequestResult[]): number {
  return results.reduce(
    (worst, { failure, latencyMs }) => (failure === "" ? Math.max(worst, latencyMs) : worst),
    0,
  );
}

export interface LoadSummaryOptions {
  readonly severedAtMs: number;
  /** Origin of the times in the summary, in milliseconds since the epoch. */
  readonly originMs: number;
}

/**
 * Returns a summary such as `900 requests, 2 failed (ECONNREFUSED, new, at 0.21 s), 1 severed, slowest 231 ms (sent at
 * 0.30 s), median 1.2 ms`
 */
export function describeLoad(
  results: readonly RequestResult[],
  { severedAtMs, originMs }: LoadSummaryOptions,
): string {
  const { failed, severed } = failuresOf(results, severedAtMs);
  const slowest = slowestConnection(results);
  const seconds = (atMs: number): string => ((atMs - originMs) / 1_000).toFixed(2);
  const list = (failures: readonly RequestResult[]): string => {
    if (failures.length === 0) return "";
    const details = failures
      .slice(0, MAX_DETAILS)
      .map(({ client, failure, sentAtMs }) => `${failure}, ${client}, at ${seconds(sentAtMs)} s`);
    return ` (${details.join("; ")}${failures.length > MAX_DETAILS ? "; …" : ""})`;
  };
  return [
    `${results.length} requests`,
    `${failed.length} failed${list(failed)}`,
    ...(severed.length === 0 ? [] : [`${severed.length} severed${list(severed)}`]),
    `slowest ${(slowest?.latencyMs ?? 0).toFixed(0)} ms (sent at ${seconds(slowest?.sentAtMs ?? originMs)} s)`,
    ...(results.length === 0
      ? []
      : [`median ${median(results.map(({ latencyMs }) => latencyMs)).toFixed(1)} ms`]),
  ].join(", ");
}
