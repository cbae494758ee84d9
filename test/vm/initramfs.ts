import { chmod, copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runOrThrow } from "../../deploy/lab/run.js";
import type { Kernel } from "./fetch-kernel.js";

const INIT = fileURLToPath(new URL("init.sh", import.meta.url));
const MACHINE = fileURLToPath(new URL("machine.sh", import.meta.url));
const BUSYBOX = "/bin/busybox";

/** Modules for the root file system: 9p over virtio for this machine's files, with an overlay on top. */
const ROOT_MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];

/** Writes the initial RAM file system, with BusyBox, kernel modules, two scripts and the command. Returns its path. */
export async function writeInitramfs(
  kernel: Kernel,
  { scratch, command }: { readonly scratch: string; readonly command: string },
  signal: AbortSignal,
): Promise<string> {
  const root = join(scratch, "initramfs");
  const archive = `${root}.cpio`;
  for (const directory of ["bin", "modules", "proc", "sys", "dev", "lower", "layer", "root"]) {
    await mkdir(join(root, directory), { recursive: true });
  }
  await copyFile(BUSYBOX, join(root, "bin/busybox"));
  await copyFile(INIT, join(root, "init"));
  await chmod(join(root, "init"), 0o755);
  await copyFile(MACHINE, join(root, "machine.sh"));
  await writeFile(join(root, "command.sh"), command);
  const modules = inOrder(await readFile(join(kernel.modules, "modules.dep"), "utf8"), ROOT_MODULES);
  for (const file of modules)
    await copyFile(join(kernel.modules, file), join(root, "modules", basename(file)));
  await writeFile(join(root, "modules/order"), modules.map((file) => `${basename(file)}\n`).join(""));
  const pack = 'cd "$0" && find . | busybox cpio -o -H newc >"$1" 2>/dev/null';
  await runOrThrow(["sh", "-c", pack, root, archive], { signal });
  return archive;
}

/** Returns the module files, each after its dependencies. Modules that are missing from `modules.dep` are built in. */
export function inOrder(modulesDep: string, wanted: readonly string[]): readonly string[] {
  const needs = new Map<string, readonly string[]>();
  for (const line of modulesDep.split("\n")) {
    const [file = "", rest = ""] = line.split(":");
    if (file !== "")
      needs.set(
        file,
        rest.split(" ").filter((each) => each !== ""),
      );
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
