import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { BenchNetwork } from "./network.js";

const run = promisify(execFile);

export interface Load {
  readonly url: string;
  readonly connections: number;
  /** A new connection for every request, or as few as possible. */
  readonly connection: "keep-alive" | "close";
  readonly seconds: number;
}

export interface LoadResult {
  readonly requests: number;
  readonly requestsPerSecond: number;
}

/** A load by wrk with one thread. Throws when requests failed: a figure with failures is none. */
export async function measureLoad(
  network: BenchNetwork,
  load: Load,
  signal: AbortSignal,
): Promise<LoadResult> {
  const [program = "", ...args] = [
    ...network.enter("client"),
    "wrk",
    "-t1",
    `-c${load.connections}`,
    `-d${load.seconds}`,
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
  return { requests: Number(requests), requestsPerSecond: Number(rate) };
}
