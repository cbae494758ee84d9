import { copyFile, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { runOrThrow } from "../run.js";
import type { Kernel } from "./debian-kernel.js";

/**
 * Copies kernel modules and the modules that they depend on into `directory`. Writes their names to the file `order`,
 * in the order in which they can be loaded.
 */
export async function copyModules(
  kernel: Kernel,
  wanted: readonly string[],
  directory: string,
): Promise<void> {
  const modules = inOrder(await readFile(join(kernel.modules, "modules.dep"), "utf8"), wanted);
  for (const file of modules) await copyFile(join(kernel.modules, file), join(directory, basename(file)));
  await writeFile(join(directory, "order"), modules.map((file) => `${basename(file)}\n`).join(""));
}

/** Packs a directory into an initial RAM file system. */
export async function packInitramfs(
  root: string,
  archive: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const pack = 'cd "$0" && find . | busybox cpio -o -H newc >"$1" 2>/dev/null';
  await runOrThrow(["sh", "-c", pack, root, archive], { signal });
}

/** Returns the module files, each after its dependencies. Modules that are missing from `modules.dep` are built in. */
export function inOrder(modulesDep: string, wanted: readonly string[]): readonly string[] {
  const needs = new Map<string, readonly string[]>();
  for (const line of modulesDep.split("\n")) {
    const [file = "", rest = ""] = line.split(":");
    if (file !== "") {
      needs.set(
        file,
        rest.split(" ").filter((each) => each !== ""),
      );
    }
  }
  const ordered = new Set<string>();
  const add = (file: string): void => {
    for (const needed of needs.get(file) ?? []) add(needed);
    ordered.add(file);
  };
  for (const name of wanted) {
    const file = [...needs.keys()].find(
      (each) =>
        basename(each)
          .replace(/\.ko.*$/, "")
          .replaceAll("-", "_") === name,
    );
    if (file !== undefined) add(file);
  }
  return [...ordered];
}
