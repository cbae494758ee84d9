import type { Outcome } from "./traffic.js";

export interface TrafficSummary {
  readonly sent: number;
  readonly failed: number;
  /** The commonest reasons of failures, with how often each came. */
  readonly reasons: readonly (readonly [reason: string, count: number])[];
  readonly medianMs: number;
  readonly worstMs: number;
  /** Answers per replica, by name. */
  readonly perReplica: readonly (readonly [replica: string, count: number])[];
}

/** What became of the requests sent in a span of time. */
export function summarise(
  outcomes: readonly Outcome[],
  fromMs = 0,
  toMs = Number.POSITIVE_INFINITY,
): TrafficSummary {
  const inSpan = outcomes.filter(({ sentAtMs }) => sentAtMs >= fromMs && sentAtMs < toMs);
  const answered = inSpan.filter(({ result }) => result.kind === "answered");
  const times = answered.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
  return {
    sent: inSpan.length,
    failed: inSpan.length - answered.length,
    reasons: count(inSpan.flatMap(({ result }) => (result.kind === "failed" ? [result.why] : []))).sort(
      (a, b) => b[1] - a[1],
    ),
    medianMs: times[Math.floor(times.length / 2)] ?? 0,
    worstMs: times.at(-1) ?? 0,
    perReplica: count(inSpan.flatMap(({ result }) => (result.kind === "answered" ? [result.by] : []))).sort(
      (a, b) => a[0].localeCompare(b[0], "en", { numeric: true }),
    ),
  };
}

function count(words: readonly string[]): (readonly [string, number])[] {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts];
}
