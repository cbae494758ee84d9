import { expect, test } from "vitest";
import { compareCases } from "./compose-go-cases.js";
import { compareCorpus } from "./corpus.js";
import { CORPUS_FOLDER, isCorpusOptional } from "./corpus-folder.js";
import { compareMergePairs } from "./merge-pairs.js";
import { compareTables } from "./micro-tables.js";

test.skipIf(isCorpusOptional)("resolves Compose files as Docker Compose does", { timeout: 60_000 }, () => {
  const sections = [
    ...compareCorpus(CORPUS_FOLDER),
    compareTables(CORPUS_FOLDER),
    compareMergePairs(CORPUS_FOLDER),
    compareCases(CORPUS_FOLDER),
  ];
  const missed = sections.filter(({ passed, total, goal }) => total === 0 || passed < goal * total);
  expect(missed).toEqual([]);
});
