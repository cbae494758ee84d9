import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { DEFAULT_CORPUS, readCorpus } from "./engine/corpus.js";
import { fuzz } from "./engine/fuzz.js";
import { seedsOf } from "./engine/target.js";
import { TARGETS } from "./targets/targets.js";

const REPO_ROOT = fileURLToPath(new URL("../../", import.meta.url));
const README = readFileSync(new URL("README.md", import.meta.url), "utf8");
/** Number of mutated inputs per target. All targets with their corpora take about 2 s. */
const MUTATIONS = 40;

/** Rows of the table in the README: `| target | files | input | bound |`. */
const ROWS = [...README.matchAll(/^\| `([\w-]+)` \| (.*?) \|/gm)].map(([, name = "", files = ""]) => ({
  name,
  files: [...files.matchAll(/`([^`]+)`/g)].map(([, file = ""]) => file),
}));

describe("parsers of untrusted input", () => {
  test.each(TARGETS)("$name handles its seeds, its corpus and mutations of both", async (target) => {
    const corpus = readCorpus(DEFAULT_CORPUS, target.name);
    const inputCount = seedsOf(target).length + corpus.length;
    const isOver = (executions: number): boolean => executions >= inputCount + MUTATIONS;
    const { executions, failure } = await fuzz(target, { seed: 1, corpus, isOver });
    expect(failure?.reason).toBeUndefined();
    expect(executions).toBe(inputCount + MUTATIONS);
  });

  test("the README lists each target once, with files that exist", () => {
    expect(ROWS.map(({ name }) => name).sort()).toEqual(TARGETS.map(({ name }) => name).sort());
    const missing = ROWS.flatMap(({ files }) => files).filter((file) => !existsSync(join(REPO_ROOT, file)));
    expect(missing).toEqual([]);
    expect(ROWS.filter(({ files }) => files.length === 0)).toEqual([]);
  });
});
