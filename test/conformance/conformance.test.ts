import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { REPO_ROOT } from "../../deploy/lab/paths.js";
import { compareCases } from "./compose-go-cases.js";
import { compareCorpus } from "./corpus.js";
import { compareMergePairs } from "./merge-pairs.js";
import { compareTables } from "./micro-tables.js";

/** Not part of the project. When the variable is set, the comparison must run. */
const FOLDER = process.env.BERTH_COMPOSE_CONFORMANCE ?? join(REPO_ROOT, "../shared/compose");
const mustRun = process.env.BERTH_COMPOSE_CONFORMANCE !== undefined;
const hasFolder = existsSync(join(FOLDER, "corpus/INDEX.tsv"));

test.skipIf(!hasFolder && !mustRun)(
  "resolves Compose files as Docker Compose does",
  { timeout: 60_000 },
  () => {
    const sections = [
      ...compareCorpus(FOLDER),
      compareTables(FOLDER),
      compareMergePairs(FOLDER),
      compareCases(FOLDER),
    ];
    const missed = sections.filter(({ passed, total, goal }) => total === 0 || passed < goal * total);
    expect(missed).toEqual([]);
  },
);
