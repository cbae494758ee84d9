// Compares how berth reads Compose files with what Docker Compose prints for them: `npm run conformance -- FOLDER`.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { compareCases } from "./compose-go-cases.js";
import { compareCorpus } from "./corpus.js";
import { selectStacks } from "./deployable-stacks.js";
import { compareMergePairs } from "./merge-pairs.js";
import { compareTables } from "./micro-tables.js";
import { printReport, type Section } from "./report.js";

const USAGE = `usage: npm run conformance -- FOLDER [--json FILE] [--all] [--deploy N]

Compares the Compose reader with Docker Compose on the files of FOLDER, which has corpus/ and conformance/.
With --deploy, deploys stacks of the corpus in a lab instead, with stand-ins for their images. Needs root.

options:
  --json FILE  write all results and differences as JSON
  --all        print all differences instead of the first ones of each section
  --deploy N   deploy N stacks: every service must run, and resolve the names of its neighbors
`;

async function main(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: {
      json: { type: "string" },
      all: { type: "boolean", default: false },
      deploy: { type: "string" },
    },
    allowPositionals: true,
  });
  const [folder] = positionals;
  if (folder === undefined || positionals.length > 1) {
    process.stderr.write(USAGE);
    return 2;
  }
  if (values.deploy !== undefined) return deploy(folder, Number(values.deploy));
  const sections: Section[] = [
    ...compareCorpus(folder),
    compareTables(folder),
    compareMergePairs(folder),
    compareCases(folder),
  ];
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(sections, undefined, 1)}\n`);
  printReport(sections, { all: values.all });
  return sections.every(({ passed, total, goal }) => passed >= goal * total) ? 0 : 1;
}

async function deploy(folder: string, count: number): Promise<number> {
  if (!Number.isInteger(count) || count < 1) {
    process.stderr.write(USAGE);
    return 2;
  }
  // The lab and its modules are only loaded for this.
  const { deployStacks } = await import("./deploy-stacks.js");
  const stacks = await deployStacks(selectStacks(folder, count), ({ name, services, names, problems }) => {
    console.log(`${problems.length === 0 ? "ok" : "failed"}  ${name}: ${services} services, ${names} names`);
    for (const problem of problems) console.log(`  ${problem}`);
  });
  const passed = stacks.filter(({ problems }) => problems.length === 0).length;
  console.log(`${passed} of ${stacks.length} stacks run`);
  return passed === count ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
