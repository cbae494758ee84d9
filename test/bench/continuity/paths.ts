/** How connections reach replicas: through the user-space proxy or on the kernel path. */
export type Path = "userspace" | "kernel";

export const PATHS: readonly Path[] = ["userspace", "kernel"];
