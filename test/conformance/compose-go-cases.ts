import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { firstDifference } from "./compare-values.js";
import { load } from "./load.js";
import { type Difference, type Section, sectionOf } from "./report.js";

interface GoCase {
  readonly id: string;
  readonly yaml: string;
  readonly role: string;
  readonly env: Readonly<Record<string, string>> | null;
  /** `ok`, or Docker Compose's error. */
  readonly compose_2_40_3: string;
}

const FILE = "/cases/compose.yaml";

/** Intended differences by case: berth's behavior is better for users, or newer than this Docker Compose. */
const INTENDED: Readonly<Record<string, string>> = {
  loader__TestV1Unsupported: "a file of format version 1 is converted",
  loader__TestLoadSSHWithKeysValuesInBuildConfig: "Docker Compose fails to print it",
  build_extra__TestBuildNoCacheFilter: "newer than Docker Compose 2.40.3",
  service_hooks__TestServiceHooks: "newer than Docker Compose 2.40.3",
  service_hooks__TestPreStartInheritsServiceImage: "newer than Docker Compose 2.40.3",
  blkio_config__TestBlkioConfig: "Docker Compose prints Go field names",
};

/** Compares the YAML files from compose-go's tests, each on its own. */
export function compareCases(directory: string): Section {
  const root = join(directory, "conformance/compose-go");
  const { cases } = JSON.parse(readFileSync(join(root, "cases.json"), "utf8")) as {
    readonly cases: readonly GoCase[];
  };
  const outcomes = cases.map((test): Difference | undefined => {
    const reason = differenceOf(root, test);
    if (reason === undefined) return undefined;
    const intended = INTENDED[test.id];
    return intended === undefined ? { name: test.id, reason } : { name: test.id, reason, intended };
  });
  return sectionOf("conformance.compose_go", 0.97, outcomes);
}

function differenceOf(root: string, { id, yaml, env, compose_2_40_3: expected }: GoCase): string | undefined {
  const bytes = readFileSync(join(root, yaml));
  const outcome = load({
    stack: "test",
    paths: [FILE],
    environment: env ?? {},
    read: (path) => (path === FILE ? bytes : undefined),
  });
  if (expected !== "ok") return outcome.kind === "rejected" ? undefined : `accepted; Compose: ${expected}`;
  if (outcome.kind === "rejected") return `rejected: ${outcome.message}`;
  const golden = join(root, "golden/compose-2.40.3", `${id}.json`);
  if (!existsSync(golden)) return undefined;
  return firstDifference(JSON.parse(readFileSync(golden, "utf8")), outcome.project);
}
