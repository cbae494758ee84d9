import type { Target } from "./target.js";

/** An input that a target handled wrongly. */
export interface Failure {
  readonly kind: "error" | "slow" | "hang";
  readonly input: Buffer;
  readonly reason: string;
}

/** CPU time that an input may take, in ms: a constant, and a part for each byte, since all parsers should be linear. */
const MAX_MS = 200;
const MAX_MS_PER_BYTE = 0.02;
/** The first run of a function includes its compilation. Only an input that is slow each time counts as slow. */
const ATTEMPTS = 3;

/** Runs one input. Returns why it failed, or undefined. */
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

/** Returns the CPU time of the process since `start`. On a busy machine, it is shorter than the time that passed. */
function cpuMsSince(start: NodeJS.CpuUsage | undefined): number {
  if (start === undefined) return Number.POSITIVE_INFINITY;
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1_000;
}
