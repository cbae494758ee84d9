import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { BERTH_VERSION, BerthError } from "@berth/proto";
import {
  findStoredPackage,
  type InstalledPackage,
  PACKAGE_STORE,
  packInstalledPackage,
  readInstalledPackage,
  suitsArchitecture,
} from "@berth/proto/package";
import { type InstallablePackage, installScript } from "./install-script.js";

/** Architectures for which berth is built, by their names in Debian. */
const ARCHITECTURES = ["amd64", "arm64"];

/** A package on this server's disk. */
export interface PackageOnDisk extends InstallablePackage {
  readonly path: string;
  readonly sizeBytes: number;
}

export interface InstallerOptions {
  /** Directory in which the package of this server's installation is built. */
  readonly directory: string;
  /** The signal of the server. */
  readonly signal: AbortSignal;
  /** @default /var/lib/berth/packages */
  readonly store?: string;
  /** The directory with the description of the installed package. */
  readonly description?: string;
}

/**
 * The packages that a server offers to hosts that install berth from it: those in the store, and the package from which
 * the server was installed, which it builds once, when it is first needed.
 */
export class Installer {
  readonly #options: InstallerOptions;
  /** Checksums by path, size and modification time. */
  readonly #checksums = new Map<string, string>();
  #packing: Promise<string> | undefined;

  constructor(options: InstallerOptions) {
    this.#options = options;
  }

  /**
   * Returns the script with which a host installs berth.
   *
   * @throws BerthError BERTH_UNSUPPORTED without a package
   */
  async script(): Promise<string> {
    return installScript(BERTH_VERSION, await this.packages());
  }

  /**
   * Returns one package for each architecture.
   *
   * @throws BerthError BERTH_UNSUPPORTED when there is none
   */
  async packages(): Promise<readonly PackageOnDisk[]> {
    const { store, description } = this.#options;
    const installed = await readInstalledPackage(description);
    const found = new Map<string, PackageOnDisk>();
    for (const architecture of ARCHITECTURES) {
      const path =
        (await findStoredPackage(architecture, store)) ?? (await this.#pack(installed, architecture));
      if (path !== undefined) found.set(path, await this.#describe(path));
    }
    if (found.size > 0) return [...found.values()];
    throw new BerthError({
      code: "BERTH_UNSUPPORTED",
      message: `this server has no package for other hosts: it was not installed from one; copy berth_${BERTH_VERSION}_amd64.deb to ${store ?? PACKAGE_STORE} on each server`,
    });
  }

  async #pack(installed: InstalledPackage | undefined, architecture: string): Promise<string | undefined> {
    if (installed === undefined || !suitsArchitecture(installed.architecture, architecture)) return undefined;
    this.#packing ??= this.#packOnce(installed).catch((error: unknown) => {
      // The next request tries again.
      this.#packing = undefined;
      throw error;
    });
    return this.#packing;
  }

  async #packOnce({ version, architecture, ...installed }: InstalledPackage): Promise<string> {
    const { directory, signal } = this.#options;
    // Also removes the package of an earlier release.
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const path = join(directory, `berth_${version}_${architecture}.deb`);
    await packInstalledPackage({ version, architecture, ...installed }, path, signal);
    return path;
  }

  async #describe(path: string): Promise<PackageOnDisk> {
    const { size: sizeBytes, mtimeMs } = await stat(path);
    const key = `${path} ${sizeBytes} ${mtimeMs}`;
    const sha256 = this.#checksums.get(key) ?? (await hashFile(path));
    this.#checksums.set(key, sha256);
    const name = basename(path);
    const [architecture = ""] = /[a-z0-9]+(?=\.deb$)/.exec(name) ?? [];
    return { architecture, name, sha256, path, sizeBytes };
  }
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
