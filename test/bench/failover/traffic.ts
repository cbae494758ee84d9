import { waitUntil } from "../../../deploy/lab/wait-until.js";
import { type RequestResult, requestOnce } from "../load.js";

const ANSWER_TIMEOUT_MS = 30_000;
/** Of each kind, in a line for people. */
const MAX_DETAILS = 4;

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

export interface Failures {
  /** Sent when the host was off already: nothing excuses these. */
  readonly afterCut: readonly RequestResult[];
  /** Under way when the power went, some of them to a replica that went with it: no one can save those. */
  readonly severed: readonly RequestResult[];
}

export function failuresOf(requests: readonly RequestResult[], cutByMs: number): Failures {
  const failed = requests.filter(({ outcome }) => outcome.kind === "failed");
  return {
    afterCut: failed.filter(({ sentAtMs }) => sentAtMs > cutByMs),
    severed: failed.filter(({ sentAtMs }) => sentAtMs <= cutByMs),
  };
}

function slowestOf(requests: readonly RequestResult[]): RequestResult | undefined {
  return requests.reduce<RequestResult | undefined>(
    (slowest, each) => (each.latencyMs > (slowest?.latencyMs ?? 0) ? each : slowest),
    undefined,
  );
}

/** `900 requests, 2 failed (ECONNREFUSED at 0.21 s), 1 severed, slowest 231 ms (sent at 0.30 s)` */
export function describeTraffic(requests: readonly RequestResult[], cutByMs: number): string {
  const { afterCut, severed } = failuresOf(requests, cutByMs);
  const originMs = cutByMs || (requests[0]?.sentAtMs ?? 0);
  const slowest = slowestOf(requests);
  const parts = [
    `${requests.length} requests`,
    `${afterCut.length} failed${detailsOf(afterCut, originMs)}`,
    `${severed.length} severed${detailsOf(severed, originMs)}`,
    `slowest ${slowest?.latencyMs.toFixed(0) ?? 0} ms (sent at ${secondsAfter(originMs, slowest)} s)`,
  ];
  return parts.join(", ");
}

function detailsOf(failures: readonly RequestResult[], originMs: number): string {
  if (failures.length === 0) return "";
  const details = failures.slice(0, MAX_DETAILS).map((failure) => {
    const { outcome } = failure;
    const why = outcome.kind === "failed" ? outcome.why : outcome.body;
    return `${why} at ${secondsAfter(originMs, failure)} s`;
  });
  return ` (${details.join("; ")}${failures.length > MAX_DETAILS ? "; …" : ""})`;
}

function secondsAfter(originMs: number, request: RequestResult | undefined): string {
  return (((request?.sentAtMs ?? originMs) - originMs) / 1_000).toFixed(2);
}
