import { chmod, copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Kernel } from "../../deploy/lab/vm/debian-kernel.js";
import { copyModules, packInitramfs } from "../../deploy/lab/vm/kernel-modules.js";

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
  await copyModules(kernel, ROOT_MODULES, join(root, "modules"));
  await packInitramfs(root, archive, signal);
  return archive;
}
