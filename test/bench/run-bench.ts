import { parseArgs } from "node:util";
import { describeMachine, type Figure, printTable, type Report, writeReport } from "./report.js";

const DEFAULT_RUNS = 3;
const MAX_RUNS = 100;
/** What a shell reports for a program that Ctrl-C ended. */
const INTERRUPTED_EXIT_CODE = 130;

export interface BenchContext {
  /** How often each thing is to be measured. */
  readonly runs: number;
  /** Aborted by Ctrl-C: stop measuring, clean up, leave. */
  readonly signal: AbortSignal;
  /** One line for people who wait. Goes to stderr: stdout holds the table alone. */
  readonly progress: (line: string) => void;
}

export interface Bench {
  readonly name: string;
  /** Program name to the command line that prints its version. */
  readonly programs: Readonly<Record<string, readonly string[]>>;
  readonly measure: (context: BenchContext) => Promise<readonly Figure[]>;
}

/** The frame of every benchmark: options, Ctrl-C, progress, table and JSON. Returns the exit code. */
export async function runBench(bench: Bench, argv: readonly string[]): Promise<number> {
  const options = parseOptions(argv);
  if (typeof options === "string") {
    console.error(
      `${bench.name}: ${options}\nusage: npm run bench -- ${bench.name} [--json FILE] [--runs N]`,
    );
    return 2;
  }
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort(new Error("interrupted"));
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, interrupt);
  try {
    const context = { runs: options.runs, signal: interrupted.signal, progress: progressOf(bench.name) };
    const figures = await bench.measure(context);
    const report: Report = { bench: bench.name, machine: describeMachine(bench.programs), figures };
    if (options.json !== undefined) writeReport(options.json, report);
    printTable(report);
    return 0;
  } catch (error) {
    console.error(`${bench.name}: ${interrupted.signal.aborted ? "interrupted" : describeError(error)}`);
    return interrupted.signal.aborted ? INTERRUPTED_EXIT_CODE : 1;
  } finally {
    for (const name of ["SIGINT", "SIGTERM"] as const) process.off(name, interrupt);
  }
}

function parseOptions(argv: readonly string[]): { runs: number; json: string | undefined } | string {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: { json: { type: "string" }, runs: { type: "string" } },
    });
    const runs = Number(values.runs ?? DEFAULT_RUNS);
    if (!Number.isInteger(runs) || runs < 1 || runs > MAX_RUNS) {
      return `--runs takes 1 to ${MAX_RUNS}, not "${values.runs}"`;
    }
    return { runs, json: values.json };
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
