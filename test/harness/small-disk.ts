import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "./temporary-directory.js";

const BYTES_PER_MIB = 1024 ** 2;

/** A small file system, for tests of full and read-only disks. */
export interface SmallDisk {
  readonly path: string;
  /** Fills the file system, except for `leftBytes` bytes. */
  fill(leftBytes?: number): void;
  /** Frees the space that `fill` has taken. */
  free(): void;
  /** Remounts the file system. Fails while a process has a file open for writing. */
  setReadOnly(isReadOnly: boolean): void;
  remove(): void;
}

/** Mounts a tmpfs of this size, which requires root. */
export function mountSmallDisk(sizeMib: number): SmallDisk {
  const directory = temporaryDirectory();
  const path = join(directory, "disk");
  const filler = join(path, "filler");
  const mount = (options: string): void =>
    void execFileSync("mount", ["-t", "tmpfs", "-o", options, "berth-test", path]);
  mkdirSync(path);
  mount(`size=${sizeMib}m`);
  return {
    path,
    fill: (leftBytes = 0) => {
      const { bsize, bavail } = statfsSync(path);
      try {
        writeFileSync(filler, Buffer.alloc(Math.max(0, bsize * bavail - leftBytes)));
      } catch {
        // Another process has taken the last space.
      }
    },
    free: () => rmSync(filler, { force: true }),
    setReadOnly: (isReadOnly) => mount(`remount,${isReadOnly ? "ro" : "rw"},size=${sizeMib * BYTES_PER_MIB}`),
    remove: () => {
      execFileSync("umount", ["--lazy", path]);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
