import type { RequestResult } from "../load-generator.js";
import { failuresOf, slowestConnection } from "../load-report.js";
import { type Figure, worstOf } from "../report.js";
import type { Disruption } from "./disruptions.js";
import type { Path } from "./paths.js";
import type { VersionUpdate } from "./served-versions.js";

/** One disruption, once. */
export interface Run {
  readonly path: Path;
  readonly disruption: Disruption["name"];
  readonly results: readonly RequestResult[];
  /** Requests sent until then may have been in flight on what was killed. 0 when nothing was killed. */
  readonly severedAtMs: number;
  /** The update of a secret, if this was the disruption. */
  readonly update?: VersionUpdate | undefined;
}

/** The longest time until a reply that each path may take. */
const WORST_CONNECT_S: Readonly<Record<Path, number>> = { userspace: 0.3, kernel: 0.6 };

export function figuresOf(
  runs: readonly Run[],
  disruptions: readonly Disruption[],
  paths: readonly Path[],
): Figure[] {
  return paths.flatMap((path) =>
    disruptions.flatMap(({ name, severs }) => {
      const own = runs.filter((run) => run.path === path && run.disruption === name);
      return own.length === 0 ? [] : figuresOfDisruption(`continuity.${path}.${name}`, own, { path, severs });
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

/** Returns when the first task served the new version of a secret, and when the last one served the old version. */
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
