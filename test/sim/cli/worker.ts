import { generateHistory } from "../history/generate.js";
import { runHistory } from "../run-history.js";

/** The history that a worker simulates. */
export interface SeedRequest {
  readonly seed: number;
}

export interface SeedAnswer {
  readonly seed: number;
  readonly steps: number;
  readonly faults: number;
  readonly virtualMs: number;
  readonly traceHash: string;
  readonly violations: readonly { readonly rule: string; readonly what: string }[];
}

async function answer({ seed }: SeedRequest): Promise<SeedAnswer> {
  const { steps, faults, virtualMs, traceHash, violations } = await runHistory(generateHistory(seed), {
    keepsTrace: false,
  });
  return { seed, steps, faults, virtualMs, traceHash, violations };
}

// The entry point of a worker: simulates the histories that its parent requests, until the parent disconnects.
// Aborts create many errors. Their stacks are not needed; a replay has them.
Error.stackTraceLimit = 0;
process.on("message", (request: SeedRequest) => {
  void answer(request).then((answered) => process.send?.(answered));
});
process.on("disconnect", () => process.exit());
process.send?.("ready");
