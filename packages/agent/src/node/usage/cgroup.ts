import { join } from "node:path";

/** A mount of the file tree of one cgroup controller. */
export interface CgroupMount {
  /** The cgroup v1 controller, such as "memory". Empty for the unified tree of cgroup v2. */
  readonly controller: string;
  readonly path: string;
  /** The cgroup at the root of the mount: "/" for the whole tree. */
  readonly root: string;
}

/** Parses `/proc/<pid>/mountinfo`. Returns one entry for each controller of a mount. */
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
 * Returns the directory of a process's cgroup, from the contents of `/proc/<pid>/cgroup`. Uses cgroup v2 when the host
 * has no v1 hierarchy of the controller. Undefined if no mount of this process shows the cgroup.
 */
export function cgroupDirectory(
  cgroups: string,
  controller: string,
  mounts: readonly CgroupMount[],
): string | undefined {
  const cgroup = cgroupPath(cgroups, controller);
  const controllerMounts = mounts.filter((mount) => mount.controller === controller);
  if (cgroup === undefined || controllerMounts.length === 0) {
    return controller === "" ? undefined : cgroupDirectory(cgroups, "", mounts);
  }
  // The kernel shows cgroups outside this process's cgroup namespace relative to its root.
  if (isBelow(cgroup, "/..")) return undefined;
  const mount = controllerMounts.find(({ root }) => isBelow(cgroup, root));
  return mount && join(mount.path, mount.root === "/" ? cgroup : cgroup.slice(mount.root.length));
}

/** Returns whether a path is an ancestor itself or a path below it. */
function isBelow(path: string, ancestor: string): boolean {
  return ancestor === "/" || path === ancestor || path.startsWith(`${ancestor}/`);
}

/** Finds a line `<number>:<controllers>:<path>`. cgroup v2 has number 0 and no controllers. */
function cgroupPath(cgroups: string, controller: string): string | undefined {
  for (const line of cgroups.split("\n")) {
    const [, controllers = "", ...path] = line.split(":");
    if (path.length > 0 && controllers.split(",").includes(controller)) return path.join(":");
  }
  return undefined;
}
