import {
  currentCommit,
  describeMachine,
  type Figure,
  figureOf,
  printTable,
  writeReport,
} from "../../bench/report.js";
import { bundleWorker } from "./bundle.js";
import { runPool } from "./pool.js";
import type { SeedAnswer } from "./worker.js";

/** Maximum number of failing seeds that are printed. One bug may fail hundreds. */
const MAX_NAMED = 20;
/** Interval of progress reports on a terminal, and of their lines elsewhere. */
const PROGRESS_MS = { terminal: 2_000, lines: 60_000 };
const MS_PER_MINUTE = 60_000;

export interface RunSeedsOptions {
  readonly from: number;
  readonly count: number;
  readonly jobs: number;
  readonly json: string | undefined;
  /** Start no more histories after this time. */
  readonly forMs?: number;
}

/** Simulates a range of histories and prints the results. Returns the exit code. */
export async function runSeeds({ from, count, jobs, json, forMs }: RunSeedsOptions): Promise<number> {
  const failed: SeedAnswer[] = [];
  const sum = { histories: 0, steps: 0, faults: 0, violations: 0, virtualMs: 0 };
  const startedMs = performance.now();
  let printedMs = startedMs;
  const worker = await bundleWorker();
  await runPool({
    file: worker.file,
    jobs,
    from,
    count,
    onAnswer: (answer) => {
      sum.histories += 1;
      sum.steps += answer.steps;
      sum.faults += answer.faults;
      sum.virtualMs += answer.virtualMs;
      if (answer.violations.length > 0) {
        sum.violations += 1;
        failed.push(answer);
        if (failed.length <= MAX_NAMED) nameFailure(answer);
      }
      const { isTTY } = process.stderr;
      if (performance.now() - printedMs > (isTTY ? PROGRESS_MS.terminal : PROGRESS_MS.lines)) {
        printedMs = performance.now();
        const progress = `${sum.histories} of ${count} histories, ${sum.violations} failed`;
        process.stderr.write(progress + (isTTY ? "\r" : "\n"));
      }
      return performance.now() - startedMs > (forMs ?? Number.POSITIVE_INFINITY);
    },
  });
  worker.remove();
  const wallMs = performance.now() - startedMs;
  const report = {
    bench: "sim",
    commit: currentCommit(),
    machine: describeMachine(),
    figures: figuresOf(sum, wallMs),
  };
  printTable(report);
  if (json !== undefined) writeReport(json, report);
  return sum.violations === 0 ? 0 : 1;
}

function nameFailure({ seed, violations }: SeedAnswer): void {
  const [first] = violations;
  console.log(`seed ${seed}: ${first?.rule} ${first?.what}\n  npm run sim -- --seed ${seed} --shrink`);
}

function figuresOf(
  sum: {
    readonly histories: number;
    readonly steps: number;
    readonly faults: number;
    readonly violations: number;
    readonly virtualMs: number;
  },
  wallMs: number,
): readonly Figure[] {
  const figure = (name: string, value: number, unit: string): Figure =>
    figureOf({ name, unit, runs: [value] });
  return [
    figure("sim.histories", sum.histories, ""),
    figure("sim.steps", sum.steps, ""),
    figure("sim.faults", sum.faults, ""),
    { ...figure("sim.violations", sum.violations, ""), goal: { kind: "at-most", value: 0 } },
    figure("sim.virtual_hours", sum.virtualMs / MS_PER_MINUTE / 60, "h"),
    figure("sim.wall_s", wallMs / 1_000, "s"),
    figure("sim.histories_per_minute", (sum.histories / wallMs) * MS_PER_MINUTE, "/min"),
  ];
}
