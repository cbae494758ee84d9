import type { DataPath } from "../table/ingress-table.js";

/** How new connections to published ports are balanced. `auto` selects the kernel where it can balance. */
export const INGRESS_MODES = ["auto", "kernel", "userspace"] as const;
export type IngressMode = (typeof INGRESS_MODES)[number];

export function isIngressMode(text: string): text is IngressMode {
  return INGRESS_MODES.some((mode) => mode === text);
}

/**
 * Selects the data path.
 *
 * @param problem why the kernel cannot balance; undefined if it can
 */
export function selectPath(mode: IngressMode, problem: string | undefined): DataPath {
  if (mode === "userspace") return { kernel: false, reason: "forced by --ingress userspace" };
  if (problem !== undefined) return { kernel: false, reason: problem };
  return {
    kernel: true,
    reason: mode === "kernel" ? "forced by --ingress kernel" : "supported by the kernel",
  };
}
