import { posix } from "node:path";
import { BerthError } from "@berth/proto";

/** The source of a copy. */
export interface CopySource {
  /** Path as the user wrote it: a trailing "/." copies the contents of a directory. */
  readonly path: string;
  readonly isDirectory: boolean;
}

/** The destination of a copy. */
export interface CopyDestination {
  /** Path as the user wrote it: a trailing "/" asserts that it is a directory. */
  readonly path: string;
  readonly kind: "missing" | "file" | "directory";
}

/** Directory in which an archive is extracted, and the new name of its root. */
export interface CopyPlan {
  /** The directory that the archive is extracted into. */
  readonly directory: string;
  /** The name of the archive's root. "." for the contents of a directory. */
  readonly root: string;
  /** The new name of the root. Equal to `root` to keep it. */
  readonly newRoot: string;
}

/**
 * Determines where a copy goes, by the rules of `docker cp`: into an existing directory, or to the destination path
 * itself.
 *
 * @throws BerthError BERTH_INPUT_INVALID for a directory over a file, and for a file in a directory that does not exist
 */
export function planCopy(source: CopySource, destination: CopyDestination): CopyPlan {
  const root = baseOf(source.path);
  const { path, kind } = destination;
  if (kind === "directory") return { directory: path, root, newRoot: root };
  if (kind === "file" && source.isDirectory) {
    throw invalidInputError(`cannot copy a directory over the file ${JSON.stringify(path)}`);
  }
  const assertsDirectory = /(?:^|\/)\.?$/.test(path);
  if (assertsDirectory && !source.isDirectory) {
    const problem = kind === "file" ? "is not a directory" : "does not exist";
    throw invalidInputError(`the destination directory ${JSON.stringify(path)} ${problem}`);
  }
  const bare = path.replace(/\/+\.?$/, "");
  return { directory: posix.dirname(bare), root, newRoot: posix.basename(bare) };
}

/** Returns the name of an entry at its destination, or undefined for an entry outside the root of the archive. */
export function renamedEntry(name: string, { root, newRoot }: CopyPlan): string | undefined {
  const path = name.replace(/^\.\//, "").replace(/\/+$/, "");
  if (root === "." || root === "/") {
    const inside = path === "." ? "" : path;
    const prefix = newRoot === root ? "" : newRoot;
    return posix.join(prefix, inside) || ".";
  }
  if (path === root) return newRoot;
  return path.startsWith(`${root}/`) ? posix.join(newRoot, path.slice(root.length + 1)) : undefined;
}

/** Returns the last name of a path: "." for a path that ends with "/.", and "/" for the root. */
export function baseOf(path: string): string {
  if (/(?:^|\/)\.$/.test(path)) return ".";
  const bare = path.replace(/\/+$/, "");
  return bare === "" ? "/" : posix.basename(bare);
}

function invalidInputError(message: string): BerthError {
  return new BerthError({ code: "BERTH_INPUT_INVALID", message });
}
