// `npm run bench -- schedule`: measures how long the scheduler takes to plan the tasks of new services and to place
// each on a node. Writes nothing.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Figure, figureOf, type Goal, median } from "../report.js";
import { type BenchContext, runBench } from "../run-bench.js";
import { type Shape, timePlacement } from "./time-placement.js";
import { type ReplacementShape, timeReplacement } from "./time-replacement.js";

interface PlacementCase extends Shape {
  readonly name: string;
  readonly goalMs?: number;
  /** The published result of SwarmKit's scheduler benchmark (its pull request 1550), in milliseconds. */
  readonly swarmKitMs?: number;
}

const SHAPES: readonly PlacementCase[] = [
  { name: "1k_1k", tasks: 1_000, nodes: 1_000, swarmKitMs: 98 },
  { name: "10k_1k", tasks: 10_000, nodes: 1_000, goalMs: 50, swarmKitMs: 548 },
  { name: "100k_1k", tasks: 100_000, nodes: 1_000, goalMs: 500, swarmKitMs: 6_160 },
  { name: "1k_10k", tasks: 1_000, nodes: 10_000 },
  { name: "spread_100k_1k", tasks: 100_000, nodes: 1_000, isSpread: true },
  { name: "1m_5k", tasks: 1_000_000, nodes: 5_000 },
];

interface ReplacementCase extends ReplacementShape {
  readonly name: string;
  readonly goalUs?: number;
}

/** One lost task: the decision that is made many times at once when a node dies. */
const REPLACEMENTS: readonly ReplacementCase[] = [
  { name: "single_1k", nodes: 1_000, replicas: 100, goalUs: 200 },
  { name: "single_10k", nodes: 10_000, replicas: 100 },
  { name: "single_everywhere_1k", nodes: 1_000, replicas: 1_000 },
];

/** Names of the shapes that should cost the same per task. */
const FLAT: readonly string[] = ["1k_1k", "10k_1k", "100k_1k", "1m_5k"];
const FLATNESS_GOAL: Goal = { kind: "at-most", value: 1.5 };
/** Number of runs that are not measured, because V8 compiles hot code first. */
const WARM_UPS = 2;

async function measure(context: BenchContext): Promise<readonly Figure[]> {
  const { shapes, replacements } = context.isSmoke ? smoke() : { shapes: SHAPES, replacements: REPLACEMENTS };
  const runsByShape = new Map<string, readonly number[]>();
  for (const shape of shapes)
    runsByShape.set(shape.name, await repeat(shape.name, () => timePlacement(shape), context));
  const replacementFigures: Figure[] = [];
  for (const shape of replacements) {
    const runs = await repeat(shape.name, () => timeReplacement(shape), { ...context, unit: "µs" });
    const goal: Goal | undefined =
      shape.goalUs === undefined ? undefined : { kind: "at-most", value: shape.goalUs };
    replacementFigures.push(
      figureOf({
        name: `schedule.${shape.name}_us`,
        unit: "µs",
        runs,
        ...(goal === undefined ? {} : { goal }),
      }),
    );
  }
  return [
    ...shapes.flatMap((shape) => figuresOf(shape, runsByShape.get(shape.name) ?? [])),
    ...replacementFigures,
    flatness(shapes, runsByShape),
  ];
}

/** Returns the same benchmark in its smallest size. */
function smoke(): {
  readonly shapes: readonly PlacementCase[];
  readonly replacements: readonly ReplacementCase[];
} {
  return {
    shapes: SHAPES.map((shape) => ({ ...shape, tasks: 100, nodes: 10 })),
    replacements: REPLACEMENTS.map((shape) => ({ ...shape, nodes: 10, replicas: 20 })),
  };
}

/** Returns the duration of each run, in the unit of `time`. */
async function repeat(
  name: string,
  time: () => number,
  { runs, isSmoke, signal, progress, unit = "ms" }: BenchContext & { readonly unit?: string },
): Promise<readonly number[]> {
  const took: number[] = [];
  for (let run = isSmoke ? 0 : -WARM_UPS; run < runs; run += 1) {
    // Lets the signal handler run.
    await new Promise((resolve) => setImmediate(resolve));
    signal.throwIfAborted();
    collectGarbage();
    const one = time();
    if (run >= 0) took.push(one);
  }
  progress(`${name}: ${median(took).toFixed(2)} ${unit}`);
  return took;
}

function figuresOf(
  { name, tasks, goalMs, swarmKitMs }: PlacementCase,
  runs: readonly number[],
): readonly Figure[] {
  return [
    figureOf({
      name: `schedule.${name}_ms`,
      unit: "ms",
      runs,
      ...(goalMs === undefined ? {} : { goal: { kind: "at-most", value: goalMs } }),
      ...(swarmKitMs === undefined ? {} : { peer: { "swarmkit (published)": swarmKitMs } }),
    }),
    figureOf({
      name: `schedule.${name}_us_per_task`,
      unit: "µs",
      runs: runs.map((ms) => (ms * 1_000) / tasks),
    }),
  ];
}

function flatness(
  shapes: readonly PlacementCase[],
  runsByShape: ReadonlyMap<string, readonly number[]>,
): Figure {
  const perTask = shapes
    .filter(({ name }) => FLAT.includes(name))
    .map(({ name, tasks }) => median(runsByShape.get(name) ?? []) / tasks);
  const value = Math.max(...perTask) / Math.min(...perTask);
  return { name: "schedule.flatness", value, unit: "x", goal: FLATNESS_GOAL, runs: [value] };
}

/** Each run starts with a clean heap, so that it does not pay for the garbage of another. */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  if (typeof collect === "function") collect();
}

process.exitCode = await runBench({ name: "schedule", programs: {}, measure }, process.argv.slice(2));
