import { readFileSync } from "node:fs";
import { run, runOrThrow } from "./run.js";

/** Mount points at or below a folder, innermost first. */
function mountsBelow(folder: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((mountPoint) => mountPoint === folder || mountPoint.startsWith(`${folder}/`))
    .reverse();
}

/** Detaches everything mounted below a folder, so that removing the folder removes nothing else. */
export async function unmountBelow(folder: string): Promise<void> {
  for (const mountPoint of mountsBelow(folder)) await unmount(mountPoint);
  // Somebody else may have unmounted them meanwhile; only what is still there is a reason to stop.
  for (const mountPoint of mountsBelow(folder)) await runOrThrow(["umount", "--lazy", mountPoint]);
}

/** Detaches one mount point if something is mounted there. */
export async function unmount(mountPoint: string): Promise<void> {
  await run(["umount", "--lazy", mountPoint]);
}
