import { existsSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { CGROUP_ROOT } from "./paths.js";

const CGROUP_MOUNT = "/sys/fs/cgroup";

/** The parent control group of a host's containers, as dockerd wants it. */
export function cgroupParent(lab: string, machine: string): string {
  return `/${CGROUP_ROOT}/${lab}/${machine}`;
}

/** Removes a lab's control groups from every hierarchy, and their common parent with the last lab. */
export function removeCgroups(lab: string): void {
  for (const hierarchy of hierarchies()) {
    removeTree(join(hierarchy, CGROUP_ROOT, lab));
    removeIfEmpty(join(hierarchy, CGROUP_ROOT));
  }
}

/** Version 1 has a folder for each controller, version 2 is the mount itself. */
function hierarchies(): string[] {
  const controllers = existsSync(CGROUP_MOUNT) ? readdirSync(CGROUP_MOUNT) : [];
  return [CGROUP_MOUNT, ...controllers.map((name) => join(CGROUP_MOUNT, name))];
}

/** A control group's files are the kernel's: only folders are removed, the innermost first. */
function removeTree(folder: string): void {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(folder, entry.name));
  }
  removeIfEmpty(folder);
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Not there, or another lab's groups are still in it.
  }
}
