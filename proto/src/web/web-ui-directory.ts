import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Directories of the built web UI, relative to this file: beside the bundle of a package, and in a checkout. */
const CANDIDATES = ["./web/", "../../../../packages/web/dist/"];

/** Returns the directory of the built web UI. It need not exist. */
export function webUiDirectory(): string {
  const paths = CANDIDATES.map((candidate) => fileURLToPath(new URL(candidate, import.meta.url)));
  return paths.find((path) => existsSync(`${path}index.html`)) ?? paths[0] ?? "";
}
