import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { firstDifference } from "./compare-values.js";
import { type Case, deployProblem, directoryReader, load } from "./load.js";
import { type Difference, type Section, sectionOf } from "./report.js";

/** Path at which Docker Compose read the corpus. */
export const SEEN_AT = "/corpus";

interface CorpusFile {
  readonly name: string;
  readonly isValid: boolean;
  /** Docker Compose's error for an invalid file. */
  readonly expected: string;
}

interface OracleEnvironment {
  readonly compose?: {
    readonly env: Readonly<Record<string, string>>;
    readonly empty_files: readonly string[];
  };
}

/** Compares real files: whether they are accepted, their resolved values, and whether they deploy without data loss. */
export function compareCorpus(directory: string): readonly Section[] {
  const loaded = casesOf(directory).map((file) => ({ ...file, outcome: load(file.test) }));
  const agreement = loaded.map(({ name, isValid, expected, outcome }): Difference | undefined => {
    if (isValid === (outcome.kind === "accepted")) return undefined;
    const reason =
      outcome.kind === "rejected" ? `rejected: ${outcome.message}` : `accepted; Compose: ${expected}`;
    return { name, reason };
  });
  const accepted = loaded.flatMap(({ name, outcome }) => {
    const golden = goldenOf(directory, name);
    return golden !== undefined && outcome.kind === "accepted"
      ? [{ name, golden, project: outcome.project }]
      : [];
  });
  const values = accepted.map(({ name, golden, project }): Difference | undefined => {
    const reason = firstDifference(golden, project);
    return reason === undefined ? undefined : { name, reason };
  });
  const deployed = loaded.flatMap(({ name, isValid, test, outcome }) => {
    if (!isValid || (outcome.kind === "accepted" && hasEmptyImage(outcome.project))) return [];
    const reason = deployProblem(test);
    return [reason === undefined ? undefined : { name, reason }];
  });
  return [
    sectionOf("conformance.deploys", 0.95, deployed),
    sectionOf("conformance.agreement", 0.99, agreement),
    sectionOf("conformance.equal_values", 0.97, values),
  ];
}

/** A file from the corpus, and how to load it. */
export interface CorpusCase extends CorpusFile {
  readonly test: Case;
  /** Paths of files that the corpus lacks, and that count as empty. */
  readonly emptyFiles: readonly string[];
}

/** Returns the files of the corpus, with the environment and the empty files that they need. */
export function casesOf(directory: string): readonly CorpusCase[] {
  const path = join(directory, "conformance/oracle/env.json");
  const environments = JSON.parse(readFileSync(path, "utf8")) as Readonly<Record<string, OracleEnvironment>>;
  return readIndex(directory).map((file) => ({
    ...file,
    test: caseOf(directory, file.name, environments[file.name]),
    emptyFiles: environments[file.name]?.compose?.empty_files ?? [],
  }));
}

function readIndex(directory: string): readonly CorpusFile[] {
  const [, ...lines] = readFileSync(join(directory, "corpus/INDEX.tsv"), "utf8").trim().split("\n");
  return lines.flatMap((line) => {
    const [name = "", , , , , , expected = ""] = line.split("\t");
    // There is no Compose output for files that need more than placeholders in their environment.
    if (expected === "needs-env") return [];
    return [{ name, isValid: expected.startsWith("valid"), expected }];
  });
}

function caseOf(directory: string, name: string, oracle: OracleEnvironment | undefined): Case {
  return {
    paths: [`${SEEN_AT}/${name}`],
    environment: oracle?.compose?.env ?? {},
    read: directoryReader(join(directory, "corpus"), SEEN_AT, oracle?.compose?.empty_files),
  };
}

function goldenOf(directory: string, name: string): unknown {
  const path = join(directory, "conformance/oracle/compose-2.40.3", `${name}.json`);
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined;
}

/** Returns whether a service's image has no name, because a variable is not set. No tool can deploy such a service. */
function hasEmptyImage(project: Readonly<Record<string, unknown>>): boolean {
  const services = Object.values((project.services ?? {}) as Readonly<Record<string, { image?: string }>>);
  return services.some(({ image }) => image !== undefined && /^(?:[:@/]|$)|[:/](?:[:@/]|$)/.test(image));
}
