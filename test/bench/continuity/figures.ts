import type { RequestResult } from "../load-generator.js";
import { failuresOf, slowestConnection } from "../load-report.js";
import { type Figure, worstOf } from "../report.js";
import type { Disruption } from "./disruptions.js";
import type { Path } from "./paths.js";
import type { VersionUpdate } from "./served-versions.js";

/** One run of one disruption. */
export interface Run {
  readonly path: Path;
  readonly disruption: Disruption["name"];
  readonly results: readonly RequestResult[];
  /** Requests sent up to this time may have been in flight on the victim. 0 if nothing was killed. */
  readonly severedAtMs: number;
  /** When the update of the secret took effect, if the disruption updates it. */
  readonly update?: VersionUpdate | undefined;
}

/** Goals for the slowest reply on a new connection, by path. */
const WORST_CONNECT_S: Readonly<Record<Path, number>> = { userspace: 0.3, kernel: 0.6 };

export function figuresOf(
  runs: readonly Run[],
  disruptions: readonly Disruption[],
  paths: readonly Path[],
): Figure[] {
  return paths.flatMap((path) =>
    disruptions.flatMap(({ name, severs }) => {
      const matching = runs.filter((run) => run.path === path && run.disruption === name);
      if (matching.length === 0) return [];
      return figuresOfDisruption(`continuity.${path}.${name}`, matching, { path, severs });
    }),
  );
}

function figuresOfDisruption(
  name: string,
  runs: readonly Run[],
  { path, severs }: { readonly path: Path; readonly severs: Disruption["severs"] },
): Figure[] {
  const failures = runs.map(({ results, severedAtMs }) => failuresOf(results, severedAtMs));
  const slowestMs = runs.map(({ results }) => slowestConnection(results)?.latencyMs ?? 0);
  const count = { unit: "requests" };
  const failed = failures.map((each) => each.failed.length);
  const severed = failures.map((each) => each.severed.length);
  return [
    worstOf({ ...count, name: `${name}.failed`, goal: { kind: "at-most", value: 0 }, runs: failed }),
    ...(severs === true ? [worstOf({ ...count, name: `${name}.severed`, runs: severed })] : []),
    worstOf({
      name: `${name}.worst_connect_s`,
      unit: "s",
      goal: { kind: "at-most", value: WORST_CONNECT_S[path] },
      runs: slowestMs.map((ms) => ms / 1_000),
    }),
    ...figuresOfUpdates(name, runs),
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
