import type { RequestResult } from "../load-generator.js";
import { failuresOf, slowestConnection } from "../load-report.js";
import { type Figure, worstOf } from "../report.js";
import type { Disruption } from "./disruptions.js";
import type { Path } from "./paths.js";

/** One disruption, once. */
export interface Run {
  readonly path: Path;
  readonly disruption: Disruption["name"];
  readonly results: readonly RequestResult[];
  /** Requests sent until then may have been in flight on what was killed. 0 when nothing was killed. */
  readonly severedAtMs: number;
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
  ];
}
