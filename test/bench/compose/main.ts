// `npm run bench -- compose`: measures the time and memory that the CLI needs for large Compose files, compared with
// those of the bare YAML parser.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Figure, figureOf, type Goal, median } from "../report.js";
import { type BenchContext, runBench } from "../run-bench.js";
import { generateStack } from "./generate-stack.js";
import type { LoadResult, Step } from "./load-file.js";

const LOAD_FILE = fileURLToPath(new URL("load-file.ts", import.meta.url));
const SERVICES = 2_000;
/** Size of the smaller file, which shows whether the time grows linearly. */
const FEW_SERVICES = SERVICES / 4;
const SMOKE_SERVICES = 20;
/** CPU time per service of the large file, relative to that of the small file. */
const GROWTH_GOAL: Goal = { kind: "at-most", value: 1.5 };
const MIB = 1024 * 1024;

async function measure(context: BenchContext): Promise<readonly Figure[]> {
  const directory = mkdtempSync(join(tmpdir(), "berth-bench-compose-"));
  try {
    const count = context.isSmoke ? SMOKE_SERVICES : SERVICES;
    const few = context.isSmoke ? SMOKE_SERVICES / 4 : FEW_SERVICES;
    const large = writeStack(directory, count);
    const figures = measureFile("generated", large, context);
    const small = repeat("specs", writeStack(directory, few), context).map(({ cpuMs }) => cpuMs / few);
    const largeCpu = median(repeat("specs", large, context).map(({ cpuMs }) => cpuMs / count));
    const growth = small.map((cpuMs) => largeCpu / cpuMs);
    const { file } = context.options;
    return [
      ...figures,
      figureOf({ name: "compose.growth", unit: "ratio", runs: growth, goal: GROWTH_GOAL }),
      ...(file === undefined ? [] : measureFile("file", file, context)),
    ];
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function writeStack(directory: string, services: number): string {
  const path = join(directory, `stack-${services}.yaml`);
  writeFileSync(path, generateStack(services));
  return path;
}

function measureFile(name: string, path: string, context: BenchContext): readonly Figure[] {
  const [yaml, resolve, specs] = (["yaml", "resolve", "specs"] as const).map((step) => {
    return repeat(step, path, context);
  });
  if (yaml === undefined || resolve === undefined || specs === undefined) return [];
  const figure = (
    step: string,
    runs: readonly LoadResult[],
    measured: (run: LoadResult) => number,
    unit: string,
  ) =>
    figureOf({
      name: `compose.${name}_${step}`,
      unit,
      runs: runs.map(measured),
      peer: { yaml: median(yaml.map(measured)) },
    });
  return [
    figure("resolve_ms", resolve, ({ ms }) => ms, "ms"),
    figure("specs_ms", specs, ({ ms }) => ms, "ms"),
    figure("resolve_cpu_ms", resolve, ({ cpuMs }) => cpuMs, "ms"),
    figure("specs_cpu_ms", specs, ({ cpuMs }) => cpuMs, "ms"),
    figure("specs_memory_mib", specs, ({ peakBytes }) => peakBytes / MIB, "MiB"),
  ];
}

function repeat(step: Step, path: string, { runs, progress }: BenchContext): readonly LoadResult[] {
  return Array.from({ length: runs }, () => {
    const output = execFileSync(process.execPath, ["--import", "tsx", LOAD_FILE, step, path], {
      encoding: "utf8",
    });
    const loaded = JSON.parse(output) as LoadResult;
    progress(`${step} ${path}: ${loaded.ms.toFixed(0)} ms, ${loaded.errors} errors`);
    return loaded;
  });
}

process.exitCode = await runBench(
  { name: "compose", programs: {}, options: { file: "FILE" }, measure },
  process.argv.slice(2),
);
