import { readFileSync } from "node:fs";
import { run, runOrThrow } from "./run.js";

/** Returns the mount points at or below a folder, innermost first. */
function listMountsBelow(folder: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((mountPoint) => mountPoint === folder || mountPoint.startsWith(`${folder}/`))
    .reverse();
}

/** Unmounts everything at or below a folder, so that removing the folder removes no other files. */
export async function unmountBelow(folder: string): Promise<void> {
  for (const mountPoint of listMountsBelow(folder)) await unmount(mountPoint);
  // Another process may unmount at the same time. Fail only for mounts that are still there.
  for (const mountPoint of listMountsBelow(folder)) await runOrThrow(["umount", "--lazy", mountPoint]);
}

/** Unmounts one mount point if something is mounted there. */
export async function unmount(mountPoint: string): Promise<void> {
  await run(["umount", "--lazy", mountPoint]);
}
