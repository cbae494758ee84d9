import type { RequestResult } from "../load-generator.js";
import { failuresOf, longestWaitMs, slowestConnection } from "../load-report.js";
import { type Figure, worstOf } from "../report.js";
import type { Disruption } from "./disruptions.js";
import type { Path } from "./paths.js";
import type { VersionUpdate } from "./served-versions.js";
import { STACK_KINDS, type StackKind } from "./serving-stack.js";

/** One run of one disruption. */
export interface Run {
  readonly kind: StackKind;
  readonly path: Path;
  readonly disruption: Disruption["name"];
  readonly results: readonly RequestResult[];
  /** Requests sent up to this time may have been in flight on the victim. 0 if nothing was killed. */
  readonly severedAtMs: number;
  /** When the update of the secret took effect, if the disruption updates it. */
  readonly update?: VersionUpdate | undefined;
}

/** Goals for the slowest reply on a new connection while other replicas are left, by path. */
const WORST_CONNECT_S: Readonly<Record<Path, number>> = { userspace: 0.3, kernel: 0.6 };

export function figuresOf(
  runs: readonly Run[],
  disruptions: readonly Disruption[],
  paths: readonly Path[],
): Figure[] {
  return STACK_KINDS.flatMap((kind) =>
    paths.flatMap((path) =>
      disruptions.flatMap((disruption) => {
        const { name } = disruption;
        const matching = runs.filter(
          (run) => run.kind === kind && run.path === path && run.disruption === name,
        );
        if (matching.length === 0) return [];
        return kind === "single"
          ? figuresOfSingle(`continuity.single.${path}.${name}`, matching, disruption)
          : figuresOfReplicated(`continuity.${path}.${name}`, matching, { disruption, path });
      }),
    ),
  );
}

function figuresOfReplicated(
  name: string,
  runs: readonly Run[],
  { disruption, path }: { readonly disruption: Disruption; readonly path: Path },
): Figure[] {
  const slowestMs = runs.map(({ results }) => slowestConnection(results)?.latencyMs ?? 0);
  return [
    ...figuresOfFailures(name, runs, disruption),
    worstOf({
      name: `${name}.worst_connect_s`,
      unit: "s",
      goal: { kind: "at-most", value: WORST_CONNECT_S[path] },
      runs: slowestMs.map((ms) => ms / 1_000),
    }),
    ...figuresOfUpdates(name, runs),
  ];
}

function figuresOfSingle(name: string, runs: readonly Run[], disruption: Disruption): Figure[] {
  return [
    ...figuresOfFailures(name, runs, disruption),
    worstOf({
      name: `${name}.worst_s`,
      unit: "s",
      goal: { kind: "at-most", value: disruption.singleGoalS ?? 0 },
      runs: runs.map(({ results }) => longestWaitMs(results) / 1_000),
    }),
  ];
}

/** Returns the number of requests that failed, and of those that were in flight on what was killed. */
function figuresOfFailures(name: string, runs: readonly Run[], { severs }: Disruption): readonly Figure[] {
  const failures = runs.map(({ results, severedAtMs }) => failuresOf(results, severedAtMs));
  const count = { unit: "requests" };
  const failed = failures.map((each) => each.failed.length);
  const severed = failures.map((each) => each.severed.length);
  return [
    worstOf({ ...count, name: `${name}.failed`, goal: { kind: "at-most", value: 0 }, runs: failed }),
    ...(severs === true ? [worstOf({ ...count, name: `${name}.severed`, runs: severed })] : []),
  ];
}

/** Returns when the first task served a secret's new version, and when the last task served the old version. */
function figuresOfUpdates(name: string, runs: readonly Run[]): readonly Figure[] {
  const updates = runs.flatMap(({ update }) => update ?? []);
  if (updates.length === 0) return [];
  const seconds = (milliseconds: readonly number[]) => ({
    unit: "s",
    runs: milliseconds.map((ms) => ms / 1_000),
  });
  return [
    worstOf({ name: `${name}.first_new_s`, ...seconds(updates.map(({ firstNewMs }) => firstNewMs)) }),
    worstOf({ name: `${name}.last_old_s`, ...seconds(updates.map(({ lastOldMs }) => lastOldMs)) }),
  ];
}
