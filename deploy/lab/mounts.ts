import { readFileSync } from "node:fs";
import { run, runOrThrow } from "./run.js";

/** Returns the mount points at or below a directory, innermost first. */
function listMountsBelow(directory: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((mountPoint) => mountPoint === directory || mountPoint.startsWith(`${directory}/`))
    .reverse();
}

/** Unmounts everything at or below a directory, so that removing the directory removes no other files. */
export async function unmountBelow(directory: string): Promise<void> {
  for (const mountPoint of listMountsBelow(directory)) await unmount(mountPoint);
  // Another process may unmount at the same time. Fail only on mounts that still exist.
  for (const mountPoint of listMountsBelow(directory)) await runOrThrow(["umount", "--lazy", mountPoint]);
}

/** Unmounts a mount point. Does nothing if nothing is mounted there. */
export async function unmount(mountPoint: string): Promise<void> {
  await run(["umount", "--lazy", mountPoint]);
}
