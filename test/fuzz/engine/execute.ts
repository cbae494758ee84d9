import type { Target } from "./target.js";

/** An input that a target did not handle correctly. */
export interface Failure {
  readonly kind: "error" | "slow" | "hang";
  readonly input: Buffer;
  readonly reason: string;
}

/** CPU time limit per input in ms: a constant plus a time per byte, because all parsers should be linear. */
const MAX_MS = 200;
const MAX_MS_PER_BYTE = 0.02;
/** An input counts as slow only if all attempts are slow, because a function's first run includes its compilation. */
const ATTEMPTS = 3;

/** Runs a target with one input. Returns the failure, or undefined if the target handled the input. */
export async function execute(target: Target, input: Buffer): Promise<Failure | undefined> {
  const limitMs = MAX_MS + input.length * MAX_MS_PER_BYTE;
  let shortestMs = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < ATTEMPTS && shortestMs > limitMs; attempt += 1) {
    const startMs = performance.now();
    const startCpu = attempt === 0 ? undefined : process.cpuUsage();
    try {
      const running = target.run(input);
      if (running !== undefined) await running;
    } catch (error) {
      const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
      return { kind: "error", input, reason };
    }
    shortestMs = Math.min(shortestMs, performance.now() - startMs, cpuMsSince(startCpu));
  }
  if (shortestMs <= limitMs) return undefined;
  const reason = `took ${Math.round(shortestMs)} ms for ${input.length} bytes (limit ${Math.round(limitMs)} ms)`;
  return { kind: "slow", input, reason };
}

/**
 * Returns the CPU time since `start`, which is shorter than the elapsed time on a busy machine. Infinite without a
 * start.
 */
function cpuMsSince(start: NodeJS.CpuUsage | undefined): number {
  if (start === undefined) return Number.POSITIVE_INFINITY;
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1_000;
}
