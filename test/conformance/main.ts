// `npm run conformance -- DIRECTORY`: compares how berth reads Compose files with the output of Docker Compose.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { ensureReady, LAB_PACKAGES } from "../../deploy/setup.mjs";
import { compareCases } from "./compose-go-cases.js";
import { compareCorpus } from "./corpus.js";
import { compareMergePairs } from "./merge-pairs.js";
import { compareTables } from "./micro-tables.js";
import { printReport, type Section } from "./report.js";
import { selectStacks } from "./stacks/select-stacks.js";

const USAGE = `usage: npm run conformance -- DIRECTORY [--json FILE] [--all] [--deploy N]

Compares berth's Compose reader with Docker Compose on the files in DIRECTORY, which contains corpus/ and conformance/.
With --deploy, deploys stacks from the corpus in a lab instead, with programs from this machine in place of their
images. This needs root.

options:
    --json FILE  write all results and differences as JSON
  --all        print all differences, not only the first of each section
  --deploy N   deploy N stacks: every service must run and resolve the names of its neighbors, and nginx, PostgreSQL,
               Redis, HAProxy and Prometheus must answer
`;

async function main(argv: readonly string[]): Promise<number> {
  const options = parseOptions(argv);
  const [directory, ...others] = options?.positionals ?? [];
  if (options === undefined || directory === undefined || others.length > 0) {
    process.stderr.write(USAGE);
    return 2;
  }
  const { values } = options;
  if (values.deploy !== undefined) return deploy(directory, Number(values.deploy));
  const sections: Section[] = [
    ...compareCorpus(directory),
    compareTables(directory),
    compareMergePairs(directory),
    compareCases(directory),
  ];
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(sections, undefined, 1)}\n`);
  printReport(sections, { all: values.all });
  return sections.every(({ passed, total, goal }) => passed >= goal * total) ? 0 : 1;
}

/** Parses the command line. Returns undefined if an option is unknown or lacks its value. */
function parseOptions(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        json: { type: "string" },
        all: { type: "boolean", default: false },
        deploy: { type: "string" },
      },
      allowPositionals: true,
    });
  } catch {
    return undefined;
  }
}

async function deploy(directory: string, count: number): Promise<number> {
  if (!Number.isInteger(count) || count < 1) {
    process.stderr.write(USAGE);
    return 2;
  }
  ensureReady({ packages: LAB_PACKAGES });
  // Only this command needs the lab and its modules.
  const { deployInLab } = await import("./stacks/deploy-stacks.js");
  const stacks = await deployInLab(
    selectStacks(directory, count),
    ({ name, services, names, programs, problems }) => {
      const replies = programs.length === 0 ? "" : `, replies from ${programs.join(", ")}`;
      const result = problems.length === 0 ? "ok" : "failed";
      console.log(`${result}  ${name}: ${services} services, ${names} names${replies}`);
      for (const problem of problems) console.log(`  ${problem}`);
    },
  );
  const passed = stacks.filter(({ problems }) => problems.length === 0);
  const programs = new Set(passed.flatMap((stack) => stack.programs));
  const real = passed.filter((stack) => stack.programs.length > 0).length;
  console.log(
    `${passed.length} of ${stacks.length} stacks run, ${real} of them with ${[...programs].sort().join(", ")}`,
  );
  return passed.length === count ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
