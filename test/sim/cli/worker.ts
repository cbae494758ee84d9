import { generateHistory } from "../history/generate.js";
import { runHistory } from "../run-history.js";

/** What a worker is asked to live through, and how it went. */
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

// A program of its own, bundled: lives through one history after the other, as its parent asks, until that hangs up.
// Aborts carry errors whose stacks nobody reads; a replay has them.
Error.stackTraceLimit = 0;
process.on("message", (request: SeedRequest) => {
  void answer(request).then((answered) => process.send?.(answered));
});
process.on("disconnect", () => process.exit());
process.send?.("ready");
