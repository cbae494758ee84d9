import { type Profiler, Session } from "node:inspector";

/** Part of a script, as character offsets. */
type Range = readonly [start: number, end: number];

/** Matches the scripts whose coverage counts: berth's own and the parser libraries. */
const MEASURED_SCRIPTS =
  /\/(packages\/[\w-]+\/(src|dist)|proto\/(src|gen|dist))\/|\/node_modules\/(dns-packet|yaml|croner|commander)\//;

/**
 * Measures which code runs, with V8's block coverage. Must be created before the measured modules are loaded.
 *
 * Reading the coverage takes about 20 ms, so the fuzzer reads it once for hundreds of inputs.
 */
export class Coverage {
  readonly #session = new Session();
  /** The parts of each function that have never run, by the function's script and offsets. */
  readonly #uncovered = new Map<string, readonly Range[]>();

  constructor() {
    this.#session.connect();
    this.#post("Profiler.enable");
    this.#post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  close(): void {
    this.#post("Profiler.stopPreciseCoverage");
    this.#session.disconnect();
  }

  /** Discards everything that was recorded. */
  forget(): void {
    this.#uncovered.clear();
    this.reset();
  }

  /** Discards what has run since the last call of `gain` or `reset`. */
  reset(): void {
    this.#take();
  }

  /** Returns how many characters of code ran for the first time since the last call. Records them if `isRecorded`. */
  gain({ isRecorded }: { readonly isRecorded: boolean }): number {
    let gained = 0;
    for (const [key, { range, missed }] of this.#take()) {
      const before = this.#uncovered.get(key) ?? [range];
      const after = intersect(before, missed);
      gained += lengthOf(before) - lengthOf(after);
      if (isRecorded) this.#uncovered.set(key, after);
    }
    return gained;
  }

  /** Returns the functions that have run since the last call, with their parts that have not. */
  #take(): ReadonlyMap<string, { readonly range: Range; readonly missed: readonly Range[] }> {
    const functions = new Map<string, { readonly range: Range; readonly missed: readonly Range[] }>();
    const { result } = this.#post("Profiler.takePreciseCoverage") as Profiler.TakePreciseCoverageReturnType;
    for (const script of result) {
      if (!MEASURED_SCRIPTS.test(script.url)) continue;
      for (const { ranges } of script.functions) {
        const [whole] = ranges;
        if (whole === undefined || whole.count === 0) continue;
        const missed = ranges.filter(({ count }) => count === 0);
        functions.set(`${script.scriptId}:${whole.startOffset}:${whole.endOffset}`, {
          range: [whole.startOffset, whole.endOffset],
          missed: missed.map(({ startOffset, endOffset }): Range => [startOffset, endOffset]),
        });
      }
    }
    return functions;
  }

  /** Calls an inspector method. Within the same thread, the inspector responds synchronously. */
  #post(method: string, params: object = {}): object {
    let failure: Error | null = null;
    let result: object = {};
    this.#session.post(method, params, (error, value) => {
      failure = error;
      result = value ?? {};
    });
    if (failure !== null) throw failure;
    return result;
  }
}

/** Returns the parts that are in both lists. Both are sorted and do not overlap. */
export function intersect(left: readonly Range[], right: readonly Range[]): readonly Range[] {
  return left.flatMap(([leftStart, leftEnd]) =>
    right.flatMap(([rightStart, rightEnd]): Range[] => {
      const [start, end] = [Math.max(leftStart, rightStart), Math.min(leftEnd, rightEnd)];
      return start < end ? [[start, end]] : [];
    }),
  );
}

function lengthOf(ranges: readonly Range[]): number {
  return ranges.reduce((sum, [start, end]) => sum + end - start, 0);
}
