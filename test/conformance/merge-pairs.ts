import { readFileSync } from "node:fs";
import { join } from "node:path";
import { firstDifference } from "./compare-values.js";
import { directoryReader, load } from "./load.js";
import { type Difference, type Section, sectionOf } from "./report.js";

const SEEN_AT = "/corpus";

interface Pair {
  readonly base: string;
  readonly override: string;
  readonly compose: {
    readonly golden?: string;
    readonly error?: string;
    readonly env?: Readonly<Record<string, string>>;
    readonly empty_files?: readonly string[];
  };
}

/** Compares pairs of files that Compose merges with `-f base -f override`. */
export function compareMergePairs(directory: string): Section {
  const merge = join(directory, "conformance/merge");
  const pairs = JSON.parse(readFileSync(join(merge, "pairs.json"), "utf8")) as readonly Pair[];
  const outcomes = pairs.map(({ base, override, compose }): Difference | undefined => {
    const name = `${base} + ${override}`;
    const outcome = load({
      paths: [`${SEEN_AT}/${base}`, `${SEEN_AT}/${override}`],
      environment: compose.env ?? {},
      read: directoryReader(join(directory, "corpus"), SEEN_AT, compose.empty_files),
    });
    if (compose.golden === undefined) {
      return outcome.kind === "rejected"
        ? undefined
        : { name, reason: `accepted; Compose: ${compose.error ?? "an error"}` };
    }
    if (outcome.kind === "rejected") return { name, reason: `rejected: ${outcome.message}` };
    const golden: unknown = JSON.parse(readFileSync(join(merge, compose.golden), "utf8"));
    const reason = firstDifference(golden, outcome.project);
    return reason === undefined ? undefined : { name, reason };
  });
  return sectionOf("conformance.merge", 1, outcomes);
}
