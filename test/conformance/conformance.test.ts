import { expect, test } from "vitest";
import { compareCases } from "./compose-go-cases.js";
import { compareCorpus } from "./corpus.js";
import { CORPUS_DIRECTORY, isCorpusOptional } from "./corpus-directory.js";
import { compareMergePairs } from "./merge-pairs.js";
import { compareTables } from "./micro-tables.js";

test.skipIf(isCorpusOptional)("resolves Compose files as Docker Compose does", { timeout: 60_000 }, () => {
  const sections = [
    ...compareCorpus(CORPUS_DIRECTORY),
    compareTables(CORPUS_DIRECTORY),
    compareMergePairs(CORPUS_DIRECTORY),
    compareCases(CORPUS_DIRECTORY),
  ];
  const missed = sections.filter(({ passed, total, goal }) => total === 0 || passed < goal * total);
  expect(missed).toEqual([]);
});
