import { join } from "node:path";

/** Where the kernel shows one cgroup controller as a file tree. */
export interface CgroupMount {
  /** "cpuacct", "memory", … for version 1; "" for the one tree of version 2. */
  readonly controller: string;
  readonly path: string;
  /** The cgroup that the mount shows at its top: "/" unless it is a part of the tree. */
  readonly root: string;
}

/** Parses `/proc/<pid>/mountinfo`. A version 1 mount of several controllers is named once for each. */
export function parseCgroupMounts(mountinfo: string): readonly CgroupMount[] {
  return mountinfo.split("\n").flatMap((line): CgroupMount[] => {
    const [mount = "", source = ""] = line.split(" - ");
    const [, , , root = "/", path = ""] = mount.split(" ");
    const [type, , options = ""] = source.split(" ");
    if (type === "cgroup2") return [{ controller: "", path, root }];
    if (type !== "cgroup") return [];
    return options.split(",").map((controller) => ({ controller, path, root }));
  });
}

/**
 * The folder of a process' cgroup, from `/proc/<pid>/cgroup`. A controller that version 1 does not have is looked for
 * in version 2. Undefined: this process cannot see it.
 */
export function cgroupFolder(
  cgroups: string,
  controller: string,
  mounts: readonly CgroupMount[],
): string | undefined {
  const own = cgroupPath(cgroups, controller);
  const mount = mounts.find((one) => one.controller === controller);
  if (own === undefined || mount === undefined) {
    return controller === "" ? undefined : cgroupFolder(cgroups, "", mounts);
  }
  // Outside of our own cgroup namespace: the file tree that we see does not hold it.
  if (own.startsWith("/..")) return undefined;
  const inside = mount.root === "/" || !own.startsWith(mount.root) ? own : own.slice(mount.root.length);
  return join(mount.path, inside);
}

/** Lines are `<number>:<controllers>:<path>`; version 2 has number 0 and no controllers. */
function cgroupPath(cgroups: string, controller: string): string | undefined {
  for (const line of cgroups.split("\n")) {
    const [, controllers = "", ...path] = line.split(":");
    if (path.length > 0 && controllers.split(",").includes(controller)) return path.join(":");
  }
  return undefined;
}
