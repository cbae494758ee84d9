/** How connections reach replicas: through a process, or diverted by the kernel. */
export type Path = "userspace" | "kernel";

const PATHS: readonly Path[] = ["userspace", "kernel"];

/** @throws Error that names those there are */
export function parsePaths(list: string | undefined): readonly Path[] {
  if (list === undefined) return PATHS;
  return list.split(",").map((name) => {
    const found = PATHS.find((path) => path === name.trim());
    if (found !== undefined) return found;
    throw new Error(`there is no path "${name}": ${PATHS.join(", ")}`);
  });
}
