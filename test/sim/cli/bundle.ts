import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "vite";
import type { Mutant } from "../mutants/mutants.js";

const REPO_ROOT = fileURLToPath(new URL("../../../", import.meta.url));
/** Below node_modules, so that imports of packages resolve. */
const CACHE = join(REPO_ROOT, "node_modules/.cache/berth-sim");

/** The worker with the whole simulation in one file, compiled once for all processes. */
export interface Bundle {
  readonly file: string;
  remove(): void;
}

/** Compiles the worker, with a planted bug if given. No source file changes. */
export async function bundleWorker(mutant?: Mutant): Promise<Bundle> {
  mkdirSync(CACHE, { recursive: true });
  const directory = mkdtempSync(join(CACHE, "worker-"));
  const remove = (): void => {
    process.off("exit", remove);
    rmSync(directory, { recursive: true, force: true });
  };
  process.once("exit", remove);
  await build({
    root: REPO_ROOT,
    configFile: false,
    publicDir: false,
    logLevel: "error",
    plugins: mutant === undefined ? [] : [planting(mutant)],
    resolve: {
      alias: [
        { find: /^@berth\/proto$/, replacement: join(REPO_ROOT, "proto/src/index.ts") },
        { find: /^@berth\/proto\/(\w+)$/, replacement: join(REPO_ROOT, "proto/src/$1/index.ts") },
      ],
    },
    build: {
      ssr: join(REPO_ROOT, "test/sim/cli/worker.ts"),
      outDir: directory,
      target: "node20",
      minify: false,
      rolldownOptions: { output: { entryFileNames: "worker.mjs" } },
    },
  });
  return { file: join(directory, "worker.mjs"), remove };
}

/** Replaces the text of a planted bug while its file is bundled. */
function planting({ file, search, replace }: Mutant): Plugin {
  return {
    name: "plant-a-bug",
    enforce: "pre",
    load: (id) => {
      const path = id.split("?", 1)[0] ?? id;
      if (!path.endsWith(`/${file}`)) return null;
      return readFileSync(path, "utf8").replace(search, () => replace);
    },
  };
}
