import type { ContainerSpec, VolumeMount } from "../../gen/berth/v1/spec.js";
import type { Report } from "./violation.js";

/**
 * Namespaces that a container can share, with the modes that a spec can set. Without a mode, the daemon's default
 * applies.
 */
export const NAMESPACE_MODES = {
  pid: ["host"],
  ipc: ["host", "private", "shareable", "none"],
  uts: ["host"],
  userns: ["host"],
  cgroupns: ["host", "private"],
} as const;

/**
 * Checks the namespaces that a container shares with its host. The namespaces of another container are rejected,
 * because that container can be any program of the host.
 */
export function validateNamespaces(container: ContainerSpec, path: string, report: Report): void {
  const { pid, ipc, uts, userns, cgroupns } = NAMESPACE_MODES;
  const namespaces: readonly (readonly [name: string, mode: string, choices: readonly string[]])[] = [
    ["pid", container.pidMode, pid],
    ["ipc", container.ipcMode, ipc],
    ["uts", container.utsMode, uts],
    ["userns", container.usernsMode, userns],
    ["cgroupns", container.cgroupnsMode, cgroupns],
  ];
  for (const [name, mode, choices] of namespaces) {
    if (mode === "" || choices.includes(mode)) continue;
    const problem = /^(?:container|service):/.test(mode)
      ? "only namespaces of services in the same stack can be shared"
      : `${JSON.stringify(mode)} is not a ${name} mode`;
    report(`${path}.${name}_mode`, `${problem}; use ${choices.join(", ")} or leave it empty`);
  }
}

/** Returns why a directory of the node cannot be mounted, or undefined if it can. */
export function hostPathProblem(source: string): string | undefined {
  if (!source.startsWith("/")) return `${JSON.stringify(source)} is not an absolute path on the node`;
  return source.includes("\0") ? "a path cannot contain a NUL byte" : undefined;
}

/**
 * Returns the node's directory that a volume actually exposes, or undefined for an ordinary volume. The local driver
 * passes its options to mount(2): `{type: none, o: bind, device: /data}` is a bind mount.
 */
export function hostBindOf({ driver, driverOpts }: VolumeMount): string | undefined {
  if (driver !== "" && driver !== "local") return undefined;
  const options = (driverOpts.o ?? "").split(",").map((option) => option.trim());
  return options.some((option) => option === "bind" || option === "rbind")
    ? (driverOpts.device ?? "")
    : undefined;
}
