import { posix } from "node:path";
import { BerthError } from "@berth/proto";

/** The source of a copy. */
export interface CopySource {
  /** As the user wrote it: a trailing "/." copies the contents of a folder. */
  readonly path: string;
  readonly isFolder: boolean;
}

/** The destination of a copy. */
export interface CopyDestination {
  /** As the user wrote it: a trailing "/" asserts that it is a folder. */
  readonly path: string;
  readonly kind: "missing" | "file" | "folder";
}

/** Where an archive is extracted, and how its root is renamed. */
export interface CopyPlan {
  /** The folder that the archive is extracted into. */
  readonly folder: string;
  /** The name of the archive's root. "." for the contents of a folder. */
  readonly root: string;
  /** The new name of the root. Equal to `root` to keep it. */
  readonly newRoot: string;
}

/**
 * Determines where a copy goes, by the rules of `docker cp`: into an existing folder, or to the destination path
 * itself.
 * @throws BerthError BERTH_INPUT_INVALID for a folder over a file, and for a file in a folder that does not exist
 */
export function planCopy(source: CopySource, destination: CopyDestination): CopyPlan {
  const root = baseOf(source.path);
  const { path, kind } = destination;
  if (kind === "folder") return { folder: path, root, newRoot: root };
  if (kind === "file" && source.isFolder) {
    throw invalid(`cannot copy a folder over the file ${JSON.stringify(path)}`);
  }
  const assertsFolder = /(?:^|\/)\.?$/.test(path);
  if (assertsFolder && !source.isFolder) {
    const problem = kind === "file" ? "is not a folder" : "does not exist";
    throw invalid(`the destination folder ${JSON.stringify(path)} ${problem}`);
  }
  const bare = path.replace(/\/+\.?$/, "");
  return { folder: posix.dirname(bare), root, newRoot: posix.basename(bare) };
}

/** Returns the name of an entry at its destination. Undefined for an entry outside the root of the archive. */
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

function invalid(message: string): BerthError {
  return new BerthError({ code: "BERTH_INPUT_INVALID", message });
}
