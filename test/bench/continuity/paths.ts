/** How connections reach replicas: through the user-space proxy or on the kernel path. */
export type Path = "userspace" | "kernel";

const PATHS: readonly Path[] = ["userspace", "kernel"];

/**
 * Parses a comma-separated list of paths. Returns all paths if the list is undefined.
 *
 * @throws Error that lists the valid names
 */
export function parsePaths(list: string | undefined): readonly Path[] {
  if (list === undefined) return PATHS;
  return list.split(",").map((name) => {
    const found = PATHS.find((path) => path === name.trim());
    if (found !== undefined) return found;
    throw new Error(`unknown path "${name}"; use one of ${PATHS.join(", ")}`);
  });
}
