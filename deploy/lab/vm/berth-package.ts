import { createHash } from "node:crypto";
import { createReadStream, existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { BERTH_VERSION } from "@berth/proto/version";
import { BUILD_STAMP, newestMtimeMs } from "../../setup/build.mjs";
import { REPO_ROOT } from "../paths.js";
import { runOrThrow } from "../run.js";

/** The package contains Node.js, 110 MB, which may have to be downloaded. */
const BUILD_TIMEOUT_MS = 900_000;
const OUT = join(REPO_ROOT, "build/lab-package");
/** Directory with the sources of the package, apart from the compiled code. */
const PACKAGE_SOURCES = join(REPO_ROOT, "deploy/package");

/** A Debian package of this checkout. */
export interface BerthPackage {
  readonly file: string;
  readonly checksum: string;
}

/** Returns the package of this checkout. Builds it if the code has been compiled since. */
export async function ensureBerthPackage({
  signal,
  onProgress,
}: {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((step: string) => void) | undefined;
}): Promise<BerthPackage> {
  const file = join(OUT, `berth_${BERTH_VERSION}_amd64.deb`);
  const newestMs = Math.max(statSync(join(REPO_ROOT, BUILD_STAMP)).mtimeMs, newestMtimeMs([PACKAGE_SOURCES]));
  if (!existsSync(file) || statSync(file).mtimeMs < newestMs) {
    onProgress?.(`building ${file}`);
    const build = [process.execPath, "--import", "tsx", join(PACKAGE_SOURCES, "main.ts")];
    await runOrThrow([...build, "--fast", "--out", OUT, "amd64"], { timeoutMs: BUILD_TIMEOUT_MS, signal });
  }
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return { file, checksum: hash.digest("hex") };
}
