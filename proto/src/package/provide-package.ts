import { access } from "node:fs/promises";
import { join } from "node:path";
import { BERTH_VERSION } from "../version.js";
import { readInstalledPackage } from "./installed-package.js";
import { packInstalledPackage } from "./pack-installed-package.js";

/** Directory in which an administrator puts packages for other architectures. */
export const PACKAGE_STORE = "/var/lib/berth/packages";

/** Architecture of packages that use the host's own Node.js. */
const ANY_ARCHITECTURE = "all";

const NAME = /^berth_([^_]+)_([a-z0-9]+)\.deb$/;

export interface ProvideOptions {
  /** Architecture of the host, as in Debian. */
  readonly architecture: string;
  /** Directory in which to build the package. */
  readonly directory: string;
  /** @default /var/lib/berth/packages */
  readonly store?: string;
  /** The directory with the description of the installed package. */
  readonly description?: string;
}

/**
 * Returns the path of a package of this release for an architecture: a file in the store, or the package from which
 * this program was installed, built again. Undefined if there is none.
 *
 * @throws BerthError BERTH_DISK_FAILED when installed files have changed
 */
export async function providePackage(
  { architecture, directory, store = PACKAGE_STORE, description }: ProvideOptions,
  signal: AbortSignal,
): Promise<string | undefined> {
  const stored = await findStoredPackage(architecture, store);
  if (stored !== undefined) return stored;
  const installed = await readInstalledPackage(description);
  if (installed === undefined || !suitsArchitecture(installed.architecture, architecture)) return undefined;
  const path = join(directory, `berth_${installed.version}_${installed.architecture}.deb`);
  await packInstalledPackage(installed, path, signal);
  return path;
}

/** Returns why a package with this file name does not suit a host. */
export function packageNameProblem(name: string, architecture: string): string | undefined {
  const [, , actual] = NAME.exec(name) ?? [];
  if (actual === undefined) return "the name of a package has the form berth_VERSION_ARCHITECTURE.deb";
  return suitsArchitecture(actual, architecture)
    ? undefined
    : `the package is for ${actual}, but the host has ${architecture}`;
}

/** Returns the path of a package of this release in the store. */
export async function findStoredPackage(
  architecture: string,
  store = PACKAGE_STORE,
): Promise<string | undefined> {
  for (const suffix of [architecture, ANY_ARCHITECTURE]) {
    const path = join(store, `berth_${BERTH_VERSION}_${suffix}.deb`);
    if (await exists(path)) return path;
  }
  return undefined;
}

/** Returns whether a package for an architecture can be installed on hosts with another one. */
export function suitsArchitecture(packaged: string, architecture: string): boolean {
  return packaged === architecture || packaged === ANY_ARCHITECTURE;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
