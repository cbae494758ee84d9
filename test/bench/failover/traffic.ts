import { waitUntil } from "../../../deploy/lab/wait-until.js";
import { failuresByReason, type RequestResult, requestOnce } from "../load.js";

const ANSWER_TIMEOUT_MS = 30_000;

export interface Target {
  readonly address: string;
  readonly port: number;
  readonly timeoutMs: number;
}

/** Every replica has answered at the published port: the table that leads there is complete. */
export async function untilAllAnswer(target: Target, replicas: number, signal: AbortSignal): Promise<void> {
  const seen = new Set<string>();
  const allAnswered = async (): Promise<boolean> => {
    const { outcome } = await requestOnce(target);
    if (outcome.kind === "answered") seen.add(outcome.body);
    return seen.size >= replicas;
  };
  await waitUntil(allAnswered, { what: "every replica to answer", timeoutMs: ANSWER_TIMEOUT_MS, signal });
}

export function failedOf(requests: readonly RequestResult[]): number {
  return requests.filter(({ outcome }) => outcome.kind === "failed").length;
}

export function slowestMsOf(requests: readonly RequestResult[]): number {
  return requests.reduce((slowest, { latencyMs }) => Math.max(slowest, latencyMs), 0);
}

/** `900 requests, 2 failed (2 × ECONNREFUSED), slowest 231 ms` */
export function describeTraffic(requests: readonly RequestResult[]): string {
  const reasons = [...failuresByReason(requests)].map(([why, count]) => `${count} × ${why}`);
  const failures = reasons.length === 0 ? "" : ` (${reasons.join(", ")})`;
  return `${requests.length} requests, ${failedOf(requests)} failed${failures}, slowest ${slowestMsOf(requests).toFixed(0)} ms`;
}
