import { request } from "node:http";

// Load generator for outage tests: it records which requests fail, and for how long.

/** Default timeout of a request: about as long as a user waits. */
const REQUEST_TIMEOUT_MS = 2_000;
/** Interval at which request timeouts are checked. */
const TICK_MS = 100;
/**
 * Maximum number of requests in flight. Further requests are skipped. At 100 requests a second, 2 s without replies
 * cause 200.
 */
const MAX_IN_FLIGHT = 500;

export interface RequestOutcome {
  /** When the request was sent, by `performance.now()`. */
  readonly sentAtMs: number;
  readonly durationMs: number;
  readonly result:
    | { readonly kind: "answered"; readonly replica: string }
    | { readonly kind: "failed"; readonly reason: string };
}

export interface HttpTrafficOptions {
  readonly url: string;
  readonly perSecond: number;
  /** Timeout for the complete reply. Default: 2 s. */
  readonly timeoutMs?: number;
  /** Extracts the replica's name from a reply, such as "web.3 on h2". */
  readonly replicaOf: (body: string) => string;
}

/**
 * Sends HTTP requests at a constant rate, each on its own connection. Slow replies do not delay later requests, so an
 * outage shows up as failed requests instead of as a lower rate.
 */
export class HttpTraffic {
  readonly #options: HttpTrafficOptions;
  readonly #outcomes: RequestOutcome[] = [];
  #timer: NodeJS.Timeout | undefined;
  #inFlight = 0;
  #startedAtMs = 0;
  /** Number of requests that were due so far, including skipped ones. */
  #scheduled = 0;

  constructor(options: HttpTrafficOptions) {
    this.#options = options;
  }

  get outcomes(): readonly RequestOutcome[] {
    return this.#outcomes;
  }

  start(): void {
    this.#startedAtMs = performance.now();
    this.#timer = setInterval(() => this.#sendDue(), 1_000 / this.#options.perSecond);
  }

  /** Stops sending and waits for the requests in flight. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    const deadlineMs = performance.now() + 2 * (this.#options.timeoutMs ?? REQUEST_TIMEOUT_MS);
    while (this.#inFlight > 0 && performance.now() < deadlineMs) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Sends all requests that are due. On a busy machine, timers fire late, so several may be due. */
  #sendDue(): void {
    const elapsedMs = performance.now() - this.#startedAtMs;
    const due = Math.floor((elapsedMs / 1_000) * this.#options.perSecond);
    while (this.#scheduled < due) {
      this.#scheduled += 1;
      if (this.#inFlight < MAX_IN_FLIGHT) this.#sendOne();
    }
  }

  #sendOne(): void {
    const sentAtMs = performance.now();
    this.#inFlight += 1;
    void fetchBody(this.#options.url, this.#options.timeoutMs)
      .then((body) => ({ kind: "answered", replica: this.#options.replicaOf(body) }) as const)
      .catch((error: Error) => ({ kind: "failed", reason: error.message }) as const)
      .then((result) => this.#record(sentAtMs, result));
  }

  #record(sentAtMs: number, result: RequestOutcome["result"]): void {
    this.#inFlight -= 1;
    this.#outcomes.push({ sentAtMs, durationMs: performance.now() - sentAtMs, result });
  }
}

/**
 * Sends one request on its own connection. Rejects unless a complete reply with status 200 arrives in time. The timeout
 * counts only the time during which this process runs: on a busy machine, a reply may be read more than a second late.
 */
export function fetchBody(url: string, timeoutMs = REQUEST_TIMEOUT_MS): Promise<string> {
  return new Promise((resolve, reject) => {
    const clientRequest = request(url, { agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200) {
          resolve(Buffer.concat(chunks).toString("utf8"));
        } else {
          reject(new Error(`status ${response.statusCode}`));
        }
      });
    });
    let waitedMs = 0;
    const timer = setInterval(() => {
      waitedMs += TICK_MS;
      if (waitedMs >= timeoutMs) clientRequest.destroy(new Error(`no reply within ${timeoutMs} ms`));
    }, TICK_MS);
    clientRequest.on("close", () => clearInterval(timer));
    clientRequest.on("error", reject);
    clientRequest.end();
  });
}

export interface TrafficSummary {
  readonly sent: number;
  readonly failed: number;
  /** Failure reasons with their counts, most frequent first. */
  readonly reasons: readonly (readonly [reason: string, count: number])[];
  readonly medianMs: number;
  readonly worstMs: number;
  /** Replies by replica name. */
  readonly perReplica: readonly (readonly [replica: string, count: number])[];
}

/** Summarizes the requests that were sent between `fromMs` and `toMs`. */
export function summarizeTraffic(
  outcomes: readonly RequestOutcome[],
  fromMs = 0,
  toMs = Number.POSITIVE_INFINITY,
): TrafficSummary {
  const inSpan = outcomes.filter(({ sentAtMs }) => sentAtMs >= fromMs && sentAtMs < toMs);
  const answered = inSpan.filter(({ result }) => result.kind === "answered");
  const times = answered.map(({ durationMs }) => durationMs).sort((a, b) => a - b);
  const reasons = inSpan.flatMap(({ result }) => (result.kind === "failed" ? [result.reason] : []));
  const replicas = inSpan.flatMap(({ result }) => (result.kind === "answered" ? [result.replica] : []));
  return {
    sent: inSpan.length,
    failed: inSpan.length - answered.length,
    reasons: countOccurrences(reasons).sort((a, b) => b[1] - a[1]),
    medianMs: times[Math.floor(times.length / 2)] ?? 0,
    worstMs: times.at(-1) ?? 0,
    perReplica: countOccurrences(replicas).sort((a, b) => a[0].localeCompare(b[0], "en", { numeric: true })),
  };
}

/** Returns how the requests failed that were sent at `fromMs` or later, with the time from then until each was sent. */
export function failuresSince(
  outcomes: readonly RequestOutcome[],
  fromMs: number,
): readonly { readonly sentAfterMs: number; readonly durationMs: number; readonly reason: string }[] {
  return outcomes.flatMap(({ sentAtMs, durationMs, result }) =>
    result.kind === "failed" && sentAtMs >= fromMs
      ? [{ sentAfterMs: sentAtMs - fromMs, durationMs, reason: result.reason }]
      : [],
  );
}

function countOccurrences(values: readonly string[]): (readonly [string, number])[] {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts];
}
