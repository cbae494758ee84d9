import { request } from "node:http";

/** A tick of Node's timers, and of the pace. */
const TICK_MS = 10;
/** After the process itself was held up: catching up all at once would be a burst that nobody asked for. */
const MAX_BURST = 20;
/** An hour at a hundred a second: beyond that, results are counted no more. */
const MAX_REQUESTS = 360_000;
const MAX_BODY_BYTES = 4_096;

export interface LoadOptions {
  readonly address: string;
  readonly port: number;
  /** New connections a second, each for one request. */
  readonly perSecond: number;
  /** From the attempt to connect to the end of the answer. */
  readonly timeoutMs: number;
}

export interface RequestResult {
  /** Milliseconds since the epoch. */
  readonly sentAtMs: number;
  readonly latencyMs: number;
  readonly outcome:
    | { readonly kind: "answered"; readonly body: string }
    | { readonly kind: "failed"; readonly why: string };
}

export interface Load {
  /** Sends no more, waits for what is under way, and returns everything in the order of its end. */
  readonly stop: () => Promise<readonly RequestResult[]>;
}

/** Steady requests to one address, whatever becomes of them: a slow answer delays no other request. */
export function startLoad(options: LoadOptions): Load {
  const startedAt = performance.now();
  const results: RequestResult[] = [];
  const underWay = new Set<Promise<void>>();
  let sent = 0;

  const send = (): void => {
    const done = requestOnce(options).then((result) => {
      results.push(result);
      underWay.delete(done);
    });
    underWay.add(done);
  };
  const tick = (): void => {
    const due = Math.floor(((performance.now() - startedAt) / 1_000) * options.perSecond);
    const burst = Math.min(due - sent, MAX_BURST, MAX_REQUESTS - results.length - underWay.size);
    for (let index = 0; index < burst; index += 1) send();
    sent = due;
  };
  const timer = setInterval(tick, TICK_MS);

  return {
    stop: async () => {
      clearInterval(timer);
      await Promise.all(underWay);
      return results;
    },
  };
}

/** One connection, one request. Never throws: a failure is a result. */
export function requestOnce(options: Omit<LoadOptions, "perSecond">): Promise<RequestResult> {
  const { address, port, timeoutMs } = options;
  const sentAtMs = Date.now();
  const startedAt = performance.now();
  return new Promise((resolve) => {
    const finish = (outcome: RequestResult["outcome"]): void => {
      clearTimeout(deadline);
      resolve({ sentAtMs, latencyMs: performance.now() - startedAt, outcome });
    };
    const fail = (why: string): void => finish({ kind: "failed", why });
    const call = request({ host: address, port, path: "/", agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        if (body.length < MAX_BODY_BYTES) body += chunk;
      });
      response.on("error", (error) => fail(reasonOf(error)));
      response.on("end", () => {
        if (response.statusCode === 200) finish({ kind: "answered", body: body.trim() });
        else fail(`status ${response.statusCode}`);
      });
    });
    const deadline = setTimeout(() => call.destroy(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
    call.on("error", (error) => fail(reasonOf(error)));
    call.end();
  });
}

/** `ECONNRESET` says it as well as a sentence, and is the same every time. */
function reasonOf(error: Error): string {
  return "code" in error ? String(error.code) : error.message;
}
