import { request } from "node:http";

/** A request that takes longer than this has failed for the person who waits. */
const REQUEST_TIMEOUT_MS = 2_000;

/** Requests that may be under way at once: what 2 s of silence at 100 a second need, with room. */
const MAX_IN_FLIGHT = 500;

export interface RequestOutcome {
  /** By the clock of `performance.now()`. */
  readonly sentAtMs: number;
  readonly tookMs: number;
  readonly result:
    | { readonly kind: "answered"; readonly by: string }
    | { readonly kind: "failed"; readonly why: string };
}

export interface TrafficOptions {
  readonly url: string;
  readonly perSecond: number;
  /** Reads from a reply which replica on which host gave it, such as "web.3 on h2". */
  readonly replicaOf: (body: string) => string;
}

/** Steady traffic, a new connection per request, whatever became of the earlier ones. */
export class HttpTraffic {
  readonly #options: TrafficOptions;
  readonly #outcomes: RequestOutcome[] = [];
  #timer: NodeJS.Timeout | undefined;
  #inFlight = 0;
  #startedAtMs = 0;
  #sent = 0;

  constructor(options: TrafficOptions) {
    this.#options = options;
  }

  get outcomes(): readonly RequestOutcome[] {
    return this.#outcomes;
  }

  start(): void {
    this.#startedAtMs = performance.now();
    this.#timer = setInterval(() => this.#catchUp(), 1_000 / this.#options.perSecond);
  }

  /** Stops sending and waits for what is under way. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    const deadlineMs = performance.now() + 2 * REQUEST_TIMEOUT_MS;
    while (this.#inFlight > 0 && performance.now() < deadlineMs) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Timers run late on a busy machine: what should have been sent by now is sent now. */
  #catchUp(): void {
    const elapsedMs = performance.now() - this.#startedAtMs;
    const due = Math.floor((elapsedMs / 1_000) * this.#options.perSecond);
    while (this.#sent < due) {
      this.#sent += 1;
      if (this.#inFlight < MAX_IN_FLIGHT) this.#sendOne();
    }
  }

  #sendOne(): void {
    const sentAtMs = performance.now();
    this.#inFlight += 1;
    fetchBody(this.#options.url).then(
      (body) => this.#note(sentAtMs, { kind: "answered", by: this.#options.replicaOf(body) }),
      (error: Error) => this.#note(sentAtMs, { kind: "failed", why: error.message }),
    );
  }

  #note(sentAtMs: number, result: RequestOutcome["result"]): void {
    this.#inFlight -= 1;
    this.#outcomes.push({ sentAtMs, tookMs: performance.now() - sentAtMs, result });
  }
}

/** One request on a connection of its own. Rejects on anything but a whole reply with status 200. */
export function fetchBody(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const req = request(url, { agent: false, timeout: REQUEST_TIMEOUT_MS }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
        else resolve(Buffer.concat(chunks).toString("utf8"));
      });
    });
    req.on("timeout", () => req.destroy(new Error(`no answer within ${REQUEST_TIMEOUT_MS} ms`)));
    req.on("error", reject);
    req.end();
  });
}

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
export function summarize(
  outcomes: readonly RequestOutcome[],
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
