import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { transformSync } from "esbuild";

/** @type {{ file?: string, search?: string, replace?: string }} */
let mutant = {};

export function initialize(data) {
  mutant = data;
}

/** The source of one file is changed on its way into the process; the file stays as it is. */
export function load(url, context, nextLoad) {
  const path = url.split("?", 1)[0];
  if (mutant.file === undefined || !path.endsWith(`/${mutant.file}`)) return nextLoad(url, context);
  const source = readFileSync(fileURLToPath(path), "utf8");
  const planted = source.replace(mutant.search, () => mutant.replace);
  const { code } = transformSync(planted, { loader: "ts", format: "esm", target: "node20" });
  return { format: "module", source: code, shortCircuit: true };
}
