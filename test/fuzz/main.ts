import { relative } from "node:path";
import { parseArgs } from "node:util";
import { DEFAULT_CORPUS } from "./engine/corpus.js";
import { runTarget } from "./engine/run-target.js";
import type { Target } from "./engine/target.js";
import type { TargetReport } from "./engine/worker-messages.js";
import { TARGETS } from "./targets/targets.js";

const USAGE = `usage: npm run fuzz [-- TARGET...] [--for SECONDS] [--seed N] [--corpus DIR]

Runs parsers with mutated inputs. Keeps inputs that reach new code. If a parser fails, saves the input in the corpus,
from which npm test repeats it, and exits with 1.

    --for SECONDS  time per target (default 10)
  --seed N       seed of the mutations (default 1); the same seed and corpus give the same inputs
  --corpus DIR   directory of kept inputs (default test/fuzz/corpus)
  --seeds DIR    directory with additional seeds, such as real Compose files; new inputs are then not kept
  --list         print the names of all targets

examples:
  npm run fuzz                                  all targets, 10 s each
    npm run fuzz -- dns-query compose --for 60    two targets, one minute each
    npm run fuzz -- dns-query --seed 7            different mutations
  npm run fuzz -- compose --seeds ../stacks     also mutates the YAML files of a directory`;
const COLUMNS = { name: 22, number: 12 } as const;

/** Returns the exit code: 1 if a target failed, otherwise 0. */
async function main(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      for: { type: "string", default: "10" },
      seed: { type: "string", default: "1" },
      corpus: { type: "string", default: DEFAULT_CORPUS },
      seeds: { type: "string" },
      list: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) console.log(USAGE);
  if (values.list) console.log(TARGETS.map(({ name }) => name).join("\n"));
  if (values.help || values.list) return 0;
  const [seconds, seed] = [parseNumber("--for", values.for), parseNumber("--seed", values.seed)];
  return runTargets(selectTargets(positionals), {
    seed,
    forMs: seconds * 1_000,
    corpus: values.corpus,
    seeds: values.seeds,
  });
}

async function runTargets(
  targets: readonly Target[],
  options: Parameters<typeof runTarget>[1],
): Promise<number> {
  console.log(row("target", "executions", "per second", "new inputs", "time"));
  let failures = 0;
  for (const target of targets) {
    const report = await runTarget(target, options);
    console.log(formatReport(target, report));
    if (report.failure === undefined) continue;
    failures += 1;
    const { reason, file } = report.failure;
    console.log(`  failed: ${reason}\n  input: ${relative(process.cwd(), file)}`);
  }
  console.log(`${targets.length} targets, ${failures} failed`);
  return failures === 0 ? 0 : 1;
}

function formatReport({ name }: Target, { executions, elapsedMs, newInputs }: TargetReport): string {
  const seconds = elapsedMs / 1_000;
  const perSecond = Math.round(executions / seconds);
  return row(name, String(executions), String(perSecond), String(newInputs), `${seconds.toFixed(0)} s`);
}

function row(name: string, ...columns: readonly string[]): string {
  return `${name.padEnd(COLUMNS.name)}${columns.map((text) => text.padStart(COLUMNS.number)).join("")}`;
}

/** @throws UsageError if a name is unknown */
function selectTargets(names: readonly string[]): readonly Target[] {
  const unknown = names.filter((name) => !TARGETS.some((target) => target.name === name));
  if (unknown.length > 0) throw new UsageError(`unknown target ${unknown.join(", ")}; see --list`);
  return names.length === 0 ? TARGETS : TARGETS.filter(({ name }) => names.includes(name));
}

function parseNumber(option: string, text: string): number {
  if (!/^\d{1,9}$/.test(text))
    throw new UsageError(`invalid value ${JSON.stringify(text)} for ${option}: expected a number`);
  return Number(text);
}

class UsageError extends Error {}

function isUsageError(error: unknown): error is Error {
  const isParseError =
    error instanceof TypeError && "code" in error && `${error.code}`.startsWith("ERR_PARSE_ARGS");
  return isParseError || error instanceof UsageError;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!isUsageError(error)) throw error;
  console.error(`fuzz: ${error.message}\n${USAGE}`);
  process.exitCode = 2;
}
