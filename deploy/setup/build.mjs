// Part of `npm run setup`: compiles the packages if a source file is newer than the last build.
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { SetupError } from "./setup-error.mjs";

/** The modification time of this file is the start time of the last build. */
export const BUILD_STAMP = "node_modules/.cache/berth-build";

/** Compiles the packages and bundles the web page, unless every source is older than the last build. */
export function ensureBuilt(root) {
  const stamp = join(root, BUILD_STAMP);
  const projects = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8")).references.map(
    ({ path }) => path,
  );
  const sources = ["tsconfig.base.json", "tsconfig.json", ...projects].map((path) => join(root, path));
  const startedAt = new Date();
  const hasOutput = projects.every((path) => existsSync(join(root, path, "dist")));
  if (hasOutput && existsSync(stamp) && newestMtimeMs(sources) <= statSync(stamp).mtimeMs) return;
  console.error("setup: compiling (tsc -b) and bundling the web page");
  run(root, [join(root, "node_modules/typescript/bin/tsc"), "-b"]);
  run(root, [join(root, "packages/web/build.mjs")]);
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, "");
  // Use the start time: a file that was saved while the compiler ran may be missing from its output.
  utimesSync(stamp, startedAt, startedAt);
}

/** Runs a program of Node.js. @throws {SetupError} when it fails */
function run(root, args) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: ["ignore", 2, 2] });
  if (status !== 0) throw new SetupError("compiling failed: see the errors above");
}

/**
 * Returns the modification time of the newest file or directory. A directory's time changes when a file in it is
 * removed.
 */
export function newestMtimeMs(paths) {
  return paths.reduce((latest, path) => Math.max(latest, newestMtimeMsIn(path)), 0);
}

function newestMtimeMsIn(path) {
  const stats = statSync(path);
  const { mtimeMs } = stats;
  if (!stats.isDirectory()) return mtimeMs;
  const entries = readdirSync(path).filter((name) => !/^(dist|node_modules|.*\.tsbuildinfo)$/.test(name));
  return entries.reduce(
    (latest, name) => Math.max(latest, newestMtimeMsIn(join(path, name))),
    containsOutput(path) ? 0 : mtimeMs,
  );
}

/** Returns whether the compiler writes into this directory, which changes its modification time. */
function containsOutput(directory) {
  return existsSync(join(directory, "tsconfig.json"));
}
