/** The way in which connections reach replicas: through the user-space proxy or on the kernel path. */
export type Path = "userspace" | "kernel";

const PATHS: readonly Path[] = ["userspace", "kernel"];

/** Parses a comma-separated list; all without a list. @throws Error with the valid names */
export function parsePaths(list: string | undefined): readonly Path[] {
  if (list === undefined) return PATHS;
  return list.split(",").map((name) => {
    const found = PATHS.find((path) => path === name.trim());
    if (found !== undefined) return found;
    throw new Error(`unknown path "${name}": ${PATHS.join(", ")}`);
  });
}
