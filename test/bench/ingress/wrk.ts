import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { BenchNetwork } from "./bench-network.js";

const run = promisify(execFile);

export interface Load {
  readonly url: string;
  readonly connections: number;
  /** Whether to keep connections open, or to use a new one for each request. */
  readonly connection: "keep-alive" | "close";
  readonly seconds: number;
}

export interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface LoadResult {
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly latency: Latency;
}

/**
 * Number of wrk threads. Between namespaces, the sending thread also delivers the packet to the receiver. At 21,000
 * connections per second, a single thread was saturated before the kernel path or the backend. A third thread would
 * compete with the proxies for CPU time.
 */
const THREADS = 2;

/**
 * Runs wrk.
 *
 * @throws Error if any request failed, because the result is then meaningless
 */
export async function measureLoad(
  network: BenchNetwork,
  load: Load,
  signal: AbortSignal,
): Promise<LoadResult> {
  const [program = "", ...args] = [
    ...network.enter("client"),
    "wrk",
    `-t${Math.min(THREADS, load.connections)}`,
    `-c${load.connections}`,
    `-d${load.seconds}`,
    "--latency",
    ...(load.connection === "close" ? ["-H", "Connection: close"] : []),
    load.url,
  ];
  const { stdout } = await run(program, args, { signal });
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1];
  const requests = /(\d+) requests in/.exec(stdout)?.[1];
  const failures = /Socket errors:.*|Non-2xx.*/.exec(stdout)?.[0];
  if (rate === undefined || requests === undefined || failures !== undefined) {
    throw new Error(`wrk against ${load.url}: ${failures ?? stdout}`);
  }
  const latency = { p50Ms: percentile(stdout, 50), p99Ms: percentile(stdout, 99) };
  return { requests: Number(requests), requestsPerSecond: Number(rate), latency };
}

const MS_OF = { us: 0.001, ms: 1, s: 1_000 } as const;

/** Returns a latency percentile from a line such as ` 99% 1.23ms`. */
function percentile(output: string, which: number): number {
  const [, value = "NaN", unit = "ms"] = new RegExp(`\\s${which}%\\s+([\\d.]+)(us|ms|s)`).exec(output) ?? [];
  return Number(value) * MS_OF[unit as keyof typeof MS_OF];
}
