import { type Figure, median } from "../report.js";
import type { Disruption } from "./disruptions.js";
import type { Path } from "./paths.js";
import type { Result } from "./result.js";

/** One event, once. */
export interface Run {
  readonly path: Path;
  readonly event: Disruption["name"];
  readonly results: readonly Result[];
  /** Requests sent until then may have been inside what died; 0: nothing did. */
  readonly severedAtMs: number;
  readonly resent: number;
}

/** Seconds until an answer, at worst: what the project promises of each path. */
const WORST_S: Readonly<Record<Path, number>> = { userspace: 0.3, kernel: 1.1 };

export function figuresOf(
  runs: readonly Run[],
  events: readonly Disruption[],
  paths: readonly Path[],
): Figure[] {
  return paths.flatMap((path) =>
    events.flatMap((event) => {
      const own = runs.filter((run) => run.path === path && run.event === event.name);
      return own.length === 0 ? [] : figuresOfEvent(`continuity.${path}.${event.name}`, own, { path, event });
    }),
  );
}

function figuresOfEvent(
  name: string,
  runs: readonly Run[],
  { path, event }: { readonly path: Path; readonly event: Disruption },
): Figure[] {
  const failed = worstOf({
    name: `${name}.failed`,
    unit: "requests",
    goal: { kind: "at-most", value: 0 },
    runs: runs.map((run) => failuresOf(run).failed.length),
  });
  const severed = runs.map((run) => failuresOf(run).severed.length);
  return [
    failed,
    ...(event.severs === true ? [worstOf({ name: `${name}.severed`, unit: "requests", runs: severed })] : []),
    worstOf({
      name: `${name}.worst_connect_s`,
      unit: "s",
      goal: { kind: "at-most", value: WORST_S[path] },
      runs: runs.map(slowestS),
    }),
  ];
}

/** Those that nothing excuses, and those that were inside what died. */
export function failuresOf({ results, severedAtMs }: Pick<Run, "results" | "severedAtMs">): {
  readonly failed: readonly Result[];
  readonly severed: readonly Result[];
} {
  const failures = results.filter(({ failure }) => failure !== "");
  return {
    failed: failures.filter(({ sentAtMs }) => sentAtMs > severedAtMs),
    severed: failures.filter(({ sentAtMs }) => sentAtMs <= severedAtMs),
  };
}

function slowestS(run: Run): number {
  return (slowestOf(run)?.latencyMs ?? 0) / 1_000;
}

/** Of the new connections that were answered. */
function slowestOf({ results }: Run): Result | undefined {
  let slowest: Result | undefined;
  for (const result of results) {
    if (result.client !== "new" || result.failure !== "") continue;
    if (result.latencyMs > (slowest?.latencyMs ?? 0)) slowest = result;
  }
  return slowest;
}

/** `31200 requests, 2 failed (ECONNRESET new 1.21 s after), 1 severed, 3 sent again, slowest 231 ms at 1.20 s, half within 2 ms` */
export function describeRun(run: Run, beganAtMs: number): string {
  const { failed, severed } = failuresOf(run);
  const half = median(run.results.map(({ latencyMs }) => latencyMs));
  return [
    `${run.results.length} requests`,
    `${failed.length} failed${detailsOf(failed, beganAtMs)}`,
    ...(severed.length === 0 ? [] : [`${severed.length} severed${detailsOf(severed, beganAtMs)}`]),
    `${run.resent} sent again`,
    `slowest ${(slowestS(run) * 1_000).toFixed(0)} ms at ${secondsAfter(slowestOf(run)?.sentAtMs ?? 0, beganAtMs)} s`,
    `half within ${half.toFixed(1)} ms`,
  ].join(", ");
}

const MAX_DETAILS = 4;

function detailsOf(failures: readonly Result[], beganAtMs: number): string {
  if (failures.length === 0) return "";
  const details = failures
    .slice(0, MAX_DETAILS)
    .map(
      ({ client, failure, sentAtMs }) => `${failure}, ${client}, at ${secondsAfter(sentAtMs, beganAtMs)} s`,
    );
  return ` (${details.join("; ")}${failures.length > MAX_DETAILS ? "; …" : ""})`;
}

function secondsAfter(atMs: number, beganAtMs: number): string {
  return ((atMs - beganAtMs) / 1_000).toFixed(2);
}

/** A median would hide what must never happen. */
function worstOf(figure: Omit<Figure, "value">): Figure {
  return { ...figure, value: Math.max(...figure.runs) };
}
