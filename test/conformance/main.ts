// Compares how berth reads Compose files with what Docker Compose prints for them: `npm run conformance -- FOLDER`.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { compareCases } from "./compose-go-cases.js";
import { compareCorpus } from "./corpus.js";
import { compareMergePairs } from "./merge-pairs.js";
import { compareTables } from "./micro-tables.js";
import { printReport, type Section } from "./report.js";

const USAGE = `usage: npm run conformance -- FOLDER [--json FILE] [--all]

Compares the Compose reader with Docker Compose on the files of FOLDER, which has corpus/ and conformance/.

options:
  --json FILE  write all results and differences as JSON
  --all        print all differences instead of the first ones of each section
`;

function main(argv: readonly string[]): number {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: { json: { type: "string" }, all: { type: "boolean", default: false } },
    allowPositionals: true,
  });
  const [folder] = positionals;
  if (folder === undefined || positionals.length > 1) {
    process.stderr.write(USAGE);
    return 2;
  }
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

process.exitCode = main(process.argv.slice(2));
