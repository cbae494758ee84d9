import { currentCommit, describeMachine, type Figure, figureOf, writeReport } from "../../bench/report.js";
import { generateHistory } from "../history/generate.js";
import { MUTANTS, type Mutant } from "../mutants/mutants.js";
import { runHistory } from "../run-history.js";
import { bundleWorker } from "./bundle.js";
import { runPool } from "./pool.js";
import type { SeedAnswer } from "./worker.js";

export interface RunMutantsOptions {
  readonly json: string | undefined;
  readonly from: number;
  /** Maximum number of histories for each bug. */
  readonly count: number;
  readonly jobs: number;
  /** Names of the bugs to plant; empty for all. */
  readonly only: readonly string[];
}

interface Finding {
  readonly mutant: Mutant;
  /** The first history in which a rule was violated because of the bug. */
  readonly caught: SeedAnswer | undefined;
  readonly histories: number;
}

/** Plants one bug at a time and simulates histories until a rule is violated. Returns the exit code. */
export async function runMutants(options: RunMutantsOptions): Promise<number> {
  const unknown = options.only.filter((name) => MUTANTS.every((mutant) => mutant.name !== name));
  if (unknown.length > 0) {
    console.error(`unknown planted bug: ${unknown.join(", ")}; use the names in test/sim/mutants/mutants.ts`);
    return 2;
  }
  const isSelected = ({ name }: Mutant): boolean => options.only.length === 0 || options.only.includes(name);
  const findings: Finding[] = [];
  for (const mutant of MUTANTS.filter(isSelected)) {
    const finding = await plant(mutant, options);
    findings.push(finding);
    console.log(describe(finding));
  }
  const caught = findings.filter((finding) => finding.caught !== undefined).length;
  console.log(`\n${caught} of ${findings.length} planted bugs were caught`);
  if (options.json !== undefined) {
    writeReport(options.json, {
      bench: "sim",
      commit: currentCommit(),
      machine: describeMachine(),
      figures: figuresOf(findings),
    });
  }
  return caught === findings.length ? 0 : 1;
}

async function plant(mutant: Mutant, { from: firstSeed, count, jobs }: RunMutantsOptions): Promise<Finding> {
  const from = Math.max(firstSeed, mutant.from ?? 0);
  let caught: SeedAnswer | undefined;
  let histories = 0;
  const worker = await bundleWorker(mutant);
  const end = from + count;
  for (let next = from; caught === undefined && next < end; ) {
    const failing: SeedAnswer[] = [];
    await runPool({
      file: worker.file,
      jobs,
      from: next,
      count: end - next,
      onAnswer: (answer) => {
        histories += 1;
        next = Math.max(next, answer.seed + 1);
        if (answer.violations.length > 0) failing.push(answer);
        return failing.length > 0;
      },
    });
    caught = await firstCaughtBy(failing);
  }
  worker.remove();
  return { mutant, caught, histories };
}

/** Returns the first answer whose history passes without the bug. */
async function firstCaughtBy(answers: readonly SeedAnswer[]): Promise<SeedAnswer | undefined> {
  for (const answer of answers) {
    const { violations } = await runHistory(generateHistory(answer.seed), { keepsTrace: false });
    if (violations.length === 0) return answer;
  }
  return undefined;
}

function describe({ mutant, caught, histories }: Finding): string {
  const [first] = caught?.violations ?? [];
  const result = caught === undefined ? "NOT CAUGHT" : `${first?.rule} in seed ${caught.seed}`;
  return `${mutant.name.padEnd(22)}${result.padEnd(18)}${String(histories).padStart(5)} histories  ${mutant.what}\n${" ".repeat(22)}${first?.what ?? ""}`;
}

function figuresOf(findings: readonly Finding[]): readonly Figure[] {
  const caught = findings.filter((finding) => finding.caught !== undefined).length;
  return [
    figureOf({ name: "sim.mutants_planted", unit: "", runs: [findings.length] }),
    {
      ...figureOf({ name: "sim.mutants_caught", unit: "", runs: [caught] }),
      goal: { kind: "at-least", value: findings.length },
    },
  ];
}
