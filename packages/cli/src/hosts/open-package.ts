import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { access, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { BERTH_VERSION, BerthError } from "@berth/proto";
import { PACKAGE_STORE, packageNameProblem, providePackage } from "@berth/proto/package";
import type { Cli } from "../process/cli.js";

/** A Debian package of berth on this machine. */
export interface PackageFile {
  readonly path: string;
  /** "berth_0.2.0_amd64.deb" */
  readonly name: string;
  /** SHA-256 in hexadecimal digits. */
  readonly sha256: string;
  /** Removes the file if it was built for this purpose. */
  readonly dispose: () => Promise<void>;
}

export interface PackageQuery {
  /** The file that the user names. */
  readonly file: string | undefined;
  /** Architecture of the host, as in Debian. */
  readonly architecture: string;
}

/**
 * Returns a package of this release for a host: the given file, one in /var/lib/berth/packages, or the package from
 * which this program was installed.
 *
 * @throws BerthError BERTH_NOT_FOUND, BERTH_INPUT_INVALID
 */
export async function openPackage(
  { signal, cwd }: Pick<Cli, "signal" | "cwd">,
  { file, architecture }: PackageQuery,
): Promise<PackageFile> {
  if (file !== undefined) {
    const path = resolve(cwd, file);
    await requireSuitable(path, architecture);
    return { path, name: basename(path), sha256: await hashFile(path), dispose: async () => {} };
  }
  const directory = await mkdtemp(join(tmpdir(), "berth-package-"));
  const dispose = (): Promise<void> => rm(directory, { recursive: true, force: true });
  try {
    const path = await providePackage({ architecture, directory }, signal);
    if (path === undefined) throw missingPackageError(architecture);
    return { path, name: basename(path), sha256: await hashFile(path), dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function requireSuitable(path: string, architecture: string): Promise<void> {
  const problem = packageNameProblem(basename(path), architecture);
  if (problem !== undefined) {
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message: `--package ${path}: ${problem}` });
  }
  await access(path);
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

function missingPackageError(architecture: string): BerthError {
  const name = `berth_${BERTH_VERSION}_${architecture}.deb`;
  return new BerthError({
    code: "BERTH_NOT_FOUND",
    message: `this machine has no package of berth ${BERTH_VERSION} for ${architecture}: this berth was not installed from one; specify a file with --package, or copy ${name} to ${PACKAGE_STORE}`,
  });
}
