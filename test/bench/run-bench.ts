import { parseArgs } from "node:util";
import { describeMachine, type Figure, printTable, type Report, writeReport } from "./report.js";

const DEFAULT_RUNS = 3;
const MAX_RUNS = 100;
/** What a shell reports for a program that Ctrl-C ended. */
const INTERRUPTED_EXIT_CODE = 130;

export interface BenchContext {
  /** How often each thing is to be measured. */
  readonly runs: number;
  /** What was given for the benchmark's own options. */
  readonly options: Readonly<Record<string, string | undefined>>;
  /** Aborted by Ctrl-C: stop measuring, clean up, leave. */
  readonly signal: AbortSignal;
  /** One line for people who wait. Goes to stderr: stdout holds the table alone. */
  readonly progress: (line: string) => void;
}

export interface Bench {
  readonly name: string;
  /** Program name to the command line that prints its version. */
  readonly programs: Readonly<Record<string, readonly string[]>>;
  /** Options of this benchmark alone: name to what its value is, in capitals. */
  readonly options?: Readonly<Record<string, string>>;
  readonly measure: (context: BenchContext) => Promise<readonly Figure[]>;
}

/** The frame of every benchmark: options, Ctrl-C, progress, table and JSON. Returns the exit code. */
export async function runBench(bench: Bench, argv: readonly string[]): Promise<number> {
  const options = parseOptions(bench, argv);
  if (typeof options === "string") {
    const own = Object.entries(bench.options ?? {}).map(([option, value]) => ` [--${option} ${value}]`);
    const usage = `npm run bench -- ${bench.name} [--json FILE] [--runs N]${own.join("")}`;
    console.error(`${bench.name}: ${options}\nusage: ${usage}`);
    return 2;
  }
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort(new Error("interrupted"));
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, interrupt);
  try {
    const { runs, own } = options;
    const progress = progressOf(bench.name);
    const context = { runs, options: own, signal: interrupted.signal, progress };
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

interface Options {
  readonly runs: number;
  readonly json: string | undefined;
  readonly own: Readonly<Record<string, string | undefined>>;
}

function parseOptions(bench: Bench, argv: readonly string[]): Options | string {
  try {
    const names = ["json", "runs", ...Object.keys(bench.options ?? {})];
    const options = Object.fromEntries(names.map((name) => [name, { type: "string" } as const]));
    const { json, ...values }: Record<string, string | undefined> = parseArgs({
      args: [...argv],
      options,
    }).values;
    const runs = Number(values.runs ?? DEFAULT_RUNS);
    if (!Number.isInteger(runs) || runs < 1 || runs > MAX_RUNS) {
      return `--runs takes 1 to ${MAX_RUNS}, not "${values.runs}"`;
    }
    return { runs, json, own: values };
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
