import { parseArgs } from "node:util";
import {
  currentCommit,
  describeMachine,
  type Figure,
  printTable,
  type Report,
  writeReport,
} from "./report.js";

const DEFAULT_RUNS = 3;
const MAX_RUNS = 100;
/** Exit code that shells report for a program that was interrupted with Ctrl-C. */
const INTERRUPTED_EXIT_CODE = 130;

export interface BenchContext {
  /** Number of measurements of each figure. */
  readonly runs: number;
  /** Whether to use the smallest size. It only shows that the benchmark works; its figures are meaningless. */
  readonly isSmoke: boolean;
  /** Values of the options that only this benchmark has. */
  readonly options: Readonly<Record<string, string | undefined>>;
  /** Aborted on Ctrl-C. The benchmark then stops and cleans up. */
  readonly signal: AbortSignal;
  /** Prints a line to stderr. Only the table goes to stdout. */
  readonly progress: (line: string) => void;
}

export interface Bench {
  readonly name: string;
  /** The programs that the benchmark runs, mapped to the command lines that print their versions. */
  readonly programs: Readonly<Record<string, readonly string[]>>;
  /** Options that only this benchmark has, mapped to the placeholders of their values in the usage line. */
  readonly options?: Readonly<Record<string, string>>;
  readonly defaultRuns?: number;
  readonly measure: (context: BenchContext) => Promise<readonly Figure[]>;
}

/**
 * Runs a benchmark: parses options, handles Ctrl-C, prints the table and writes the JSON report. Returns the exit code.
 */
export async function runBench(bench: Bench, argv: readonly string[]): Promise<number> {
  const options = parseOptions(bench, argv);
  if (typeof options === "string") {
    const own = Object.entries(bench.options ?? {}).map(([option, value]) => ` [--${option} ${value}]`);
    const usage = `npm run bench -- ${bench.name} [--json FILE] [--runs N] [--smoke]${own.join("")}`;
    console.error(`${bench.name}: ${options}\nusage: ${usage}`);
    return 2;
  }
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort(new Error("interrupted"));
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, interrupt);
  try {
    const { json, ...context } = options;
    const commit = currentCommit();
    const progress = progressOf(bench.name);
    const figures = await bench.measure({ ...context, signal: interrupted.signal, progress });
    const report: Report = { bench: bench.name, commit, machine: describeMachine(bench.programs), figures };
    if (json !== undefined) writeReport(json, report);
    printTable(report);
    return 0;
  } catch (error) {
    console.error(`${bench.name}: ${interrupted.signal.aborted ? "interrupted" : describeError(error)}`);
    return interrupted.signal.aborted ? INTERRUPTED_EXIT_CODE : 1;
  } finally {
    for (const name of ["SIGINT", "SIGTERM"] as const) process.off(name, interrupt);
  }
}

interface Options extends Pick<BenchContext, "runs" | "isSmoke" | "options"> {
  readonly json: string | undefined;
}

/** Parses the command line. Returns an error message if an option is invalid. */
function parseOptions(
  { options = {}, defaultRuns = DEFAULT_RUNS }: Bench,
  argv: readonly string[],
): Options | string {
  try {
    const text = { type: "string" } as const;
    const { values } = parseArgs({
      args: [...argv],
      options: {
        ...Object.fromEntries(Object.keys(options).map((name) => [name, text])),
        json: text,
        runs: text,
        smoke: { type: "boolean", default: false },
      },
    });
    const { json, runs: runsText, smoke: isSmoke, ...own } = values;
    const runs = runsText === undefined ? (isSmoke ? 1 : defaultRuns) : Number(runsText);
    if (!Number.isInteger(runs) || runs < 1 || runs > MAX_RUNS) {
      return `invalid --runs "${runsText}"; use 1 to ${MAX_RUNS}`;
    }
    return { runs, isSmoke, json, options: own as BenchContext["options"] };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function progressOf(name: string): (line: string) => void {
  const startedAt = performance.now();
  return (line) => {
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0).padStart(4);
    console.error(`${name} ${seconds} s  ${line}`);
  };
}

function describeError(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
