import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const FIXTURES = fileURLToPath(new URL("../../fixtures", import.meta.url));
const STACKS = fileURLToPath(new URL("../../../deploy/stacks", import.meta.url));

/** Returns the texts of the files in a directory of test/fixtures. */
export function readFixtures(directory: string): readonly string[] {
  return readFiles(join(FIXTURES, directory), ".json");
}

/** Returns the texts of the example stacks. */
export function readExampleStacks(): readonly string[] {
  return ["hello", "shop", "tiers"].flatMap((name) => readFiles(join(STACKS, name), ".yml"));
}

function readFiles(directory: string, extension: string): readonly string[] {
  const names = readdirSync(directory).filter((name) => name.endsWith(extension));
  return names.sort().map((name) => readFileSync(join(directory, name), "utf8"));
}
