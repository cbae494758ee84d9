import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { BerthError } from "../errors.js";

/**
 * The Debian package from which this program was installed. It has a copy of its own description in
 * /usr/lib/berth/VERSION/package, so that the package can be built again from the installed files:
 *
 * - `control/`: the files that dpkg reads, except for the checksums
 * - `md5sums`: paths and checksums of all files that existed when the description was written
 * - `links`: paths and targets of symbolic links
 * - `files/`: the settings as they were in the package, because administrators change them
 */
export interface InstalledPackage {
  /** The directory with the description. */
  readonly directory: string;
  /** The directory below which the files of the package are. "/" on a host. */
  readonly root: string;
  readonly version: string;
  /** Architecture in Debian. "all" if the host's own Node.js runs berth. */
  readonly architecture: string;
}

/** Depth of the description below the root: usr/lib/berth/VERSION/package. */
const DEPTH = 5;

/** Returns the package of the running program. Undefined if it runs from a checkout or from an archive. */
export async function readInstalledPackage(
  directory = join(dirname(fileURLToPath(import.meta.url)), "package"),
): Promise<InstalledPackage | undefined> {
  const control = join(directory, "control/control");
  const isPresent = await stat(control).then(
    () => true,
    () => false,
  );
  if (!isPresent) return undefined;
  const text = await readFile(control, "utf8");
  const fieldOf = (name: string): string => new RegExp(`^${name}: (.+)$`, "m").exec(text)?.[1] ?? "";
  const [version, architecture] = [fieldOf("Version"), fieldOf("Architecture")];
  if (version === "" || architecture === "") {
    throw new BerthError({
      code: "BERTH_DISK_FAILED",
      message: `${control} names no version or architecture; install the package berth again`,
    });
  }
  return { directory, root: join(directory, ...Array<string>(DEPTH).fill("..")), version, architecture };
}
