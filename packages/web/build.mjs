// Bundles the web page. It is plain JavaScript because setup runs it before tsx is available.
import { readFile, rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { build } from "esbuild";

const ROOT = fileURLToPath(new URL(".", import.meta.url));

const REPOSITORY = join(ROOT, "../..");

/**
 * Writes the page to a directory. Files in assets/ have the hashes of their contents in their names, and compressed
 * siblings, which servers send to browsers that accept them.
 *
 * @param {string} output the directory, by default dist/
 * @returns {Promise<readonly string[]>} the paths of the bundled source files, relative to the repository
 */
export async function buildPage(output = join(ROOT, "dist")) {
  await rm(output, { recursive: true, force: true });
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: { app: "src/main.tsx", style: "src/style/app.css" },
    outdir: output,
    bundle: true,
    splitting: true,
    format: "esm",
    target: ["chrome123", "firefox120", "safari17.5"],
    minify: true,
    legalComments: "none",
    metafile: true,
    // The reader of Compose files is code of the command line.
    alias: {
      "node:path": "path-browserify",
      "node:net": join(ROOT, "src/compose/node/net.ts"),
      "node:buffer": join(ROOT, "src/compose/node/buffer.ts"),
      "node:crypto": join(ROOT, "src/compose/node/unavailable.ts"),
      "node:timers/promises": join(ROOT, "src/compose/node/unavailable.ts"),
    },
    inject: [join(ROOT, "src/compose/node/buffer.ts")],
    jsx: "automatic",
    jsxImportSource: "preact",
    entryNames: "assets/[name]-[hash]",
    chunkNames: "assets/[name]-[hash]",
    assetNames: "assets/[name]-[hash]",
    logLevel: "warning",
  });
  const outputs = Object.entries(metafile.outputs);
  /** Returns the path of a bundle in the directory. */
  const pathOf = (source) => {
    const [path = ""] = outputs.find(([, { entryPoint }]) => entryPoint === source) ?? [];
    return relative(output, join(ROOT, path));
  };
  const html = await readFile(join(ROOT, "index.html"), "utf8");
  const page = html
    .replace("SCRIPT", () => pathOf("src/main.tsx"))
    .replace("STYLE", () => pathOf("src/style/app.css"));
  await writeFile(join(output, "index.html"), page);
  await writeFile(join(output, "icon.svg"), await readFile(join(ROOT, "icon.svg")));
  for (const [path] of outputs) await compress(join(ROOT, path));
  return Object.keys(metafile.inputs).map((path) => relative(REPOSITORY, join(ROOT, path)));
}

async function compress(path) {
  const content = await readFile(path);
  await writeFile(`${path}.gz`, gzipSync(content, { level: 9 }));
  await writeFile(`${path}.br`, brotliCompressSync(content));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildPage();
