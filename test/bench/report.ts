import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { arch, cpus, release, totalmem, type } from "node:os";
import { REPO_ROOT } from "../../deploy/lab/paths.js";

/**
 * The value that a figure must reach: `at-least` for throughput and ratios, `at-most` for times, memory and failures.
 */
export interface Goal {
  readonly kind: "at-least" | "at-most";
  readonly value: number;
}

/** One result of a benchmark: the median of its runs, the runs themselves, and the results of the peers. */
export interface Figure {
  /** Dotted and stable, e.g. `ingress.userspace_vs_haproxy.close_1`. */
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly goal?: Goal;
  /** Results of other programs in the same run, by name, in the figure's unit. */
  readonly peer?: Readonly<Record<string, number>>;
  readonly runs: readonly number[];
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly arch: string;
  readonly node: string;
  /** Versions of the other programs that the benchmark ran. */
  readonly programs: Readonly<Record<string, string>>;
}

export interface Report {
  readonly bench: string;
  readonly machine: Machine;
  /** The measured commit. Ends in "-dirty" if the work tree had changes. */
  readonly commit: string;
  readonly figures: readonly Figure[];
}

/**
 * Returns the middle value, or the mean of the two middle values.
 *
 * @throws RangeError if there are no values
 */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  if (upper === undefined || lower === undefined) throw new RangeError("median of no values");
  return (lower + upper) / 2;
}

/** Returns a figure whose value is the median of its runs. */
export function figureOf(figure: Omit<Figure, "value">): Figure {
  return { ...figure, value: median(figure.runs) };
}

/** Returns a figure whose value is its worst run. For events that must never happen, which a median would hide. */
export function worstOf(figure: Omit<Figure, "value">): Figure {
  return { ...figure, value: Math.max(...figure.runs) };
}

/** Describes this machine. `programs` maps a name to the command line that prints its version. */
export function describeMachine(programs: Readonly<Record<string, readonly string[]>> = {}): Machine {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: `${type()} ${release()}`,
    arch: arch(),
    node: process.version,
    programs: Object.fromEntries(Object.entries(programs).map(([name, argv]) => [name, firstLineOf(argv)])),
  };
}

/** Returns the abbreviated commit of the work tree, or "unknown" outside a repository. */
export function currentCommit(): string {
  const argv = ["describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"];
  const { stdout, status } = spawnSync("git", argv, { encoding: "utf8", cwd: REPO_ROOT });
  return status === 0 ? stdout.trim() : "unknown";
}

/** Returns whether the figure meets its goal, or undefined if it has no goal. */
export function meetsGoal(figure: Figure): boolean | undefined {
  if (figure.goal === undefined) return undefined;
  return figure.goal.kind === "at-least"
    ? figure.value >= figure.goal.value
    : figure.value <= figure.goal.value;
}

/** Writes the report as JSON. */
export function writeReport(path: string, report: Report): void {
  writeFileSync(path, `${JSON.stringify(report, null, 2)}\n`);
}

/** Prints the report as an aligned table. */
export function printTable(
  report: Report,
  write: (text: string) => void = (text) => process.stdout.write(text),
): void {
  const { machine } = report;
  const programs = Object.values(machine.programs).map((version) => ` · ${version}`);
  write(
    `${report.bench}: ${machine.cores} × ${machine.cpu}, ${machine.kernel}, node ${machine.node}${programs.join("")}\n\n`,
  );
  const header = ["figure", "value", "goal", "", "peers", "runs"];
  const rows = report.figures.map((figure) => [
    figure.name,
    `${numberText(figure.value)} ${figure.unit}`,
    figure.goal === undefined ? "" : goalText(figure.goal),
    goalResult(figure),
    Object.entries(figure.peer ?? {})
      .map(([name, value]) => `${name} ${numberText(value)}`)
      .join(", "),
    figure.runs.map(numberText).join(" "),
  ]);
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  for (const row of [header, ...rows]) {
    write(
      `${row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd()}\n`,
    );
  }
}

export function goalText(goal: Goal): string {
  return `${goal.kind === "at-least" ? ">=" : "<="} ${goal.value}`;
}

function goalResult(figure: Figure): string {
  const met = meetsGoal(figure);
  if (met === undefined) return "";
  return met ? "met" : "missed";
}

/** Formats a number with three significant digits below 100, and as a whole number from 100. */
export function numberText(value: number): string {
  return Math.abs(value) >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}

/**
 * Returns the first line of a command's output. Some programs print their version to stderr, or then exit with an
 * error.
 */
function firstLineOf([program = "", ...args]: readonly string[]): string {
  const { stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  return `${stdout ?? ""}${stderr ?? ""}`.split("\n")[0]?.trim() || `${program} (version unknown)`;
}
