import type { ContainerSpec, VolumeMount } from "../../gen/berth/v1/spec.js";
import type { Report } from "./violation.js";

// Access of a container to its host: namespaces, and directories of the node.

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

/** Namespaces that services of one stack can share. */
const SHAREABLE: readonly string[] = ["pid", "ipc"];

/**
 * Checks the namespaces that a container shares with its host. The namespaces of another container are rejected,
 * because it could be any container on the host. `sharing` names services of the same stack instead.
 */
export function validateNamespaces(container: ContainerSpec, path: string, report: Report): void {
  const modes: Readonly<Record<keyof typeof NAMESPACE_MODES, string>> = {
    pid: container.pidMode,
    ipc: container.ipcMode,
    uts: container.utsMode,
    userns: container.usernsMode,
    cgroupns: container.cgroupnsMode,
  };
  for (const [name, allowedModes] of Object.entries(NAMESPACE_MODES)) {
    const mode = modes[name as keyof typeof NAMESPACE_MODES];
    if (mode === "" || (allowedModes as readonly string[]).includes(mode)) continue;
    const isOtherContainer = /^(?:container|service):/.test(mode);
    const problem = isOtherContainer
      ? "the mode cannot name another container"
      : `${JSON.stringify(mode)} is not a ${name} mode`;
    const sharing =
      isOtherContainer && SHAREABLE.includes(name) ? `set sharing.${name} to a service of the stack, ` : "";
    report(
      `${path}.${name}_mode`,
      `${problem}; ${sharing}${allowedModesText(allowedModes)}, or leave it empty`,
    );
  }
}

/** Returns `use host`, or `use one of host and private`. */
function allowedModesText(modes: readonly string[]): string {
  const last = modes.at(-1) ?? "";
  return modes.length === 1 ? `use ${last}` : `use one of ${modes.slice(0, -1).join(", ")} and ${last}`;
}

/** Returns why a directory on the node cannot be mounted, or undefined if it can. */
export function hostPathProblem(source: string): string | undefined {
  if (!source.startsWith("/")) return `${JSON.stringify(source)} is not an absolute path on the node`;
  return source.includes("\0") ? "a path cannot contain a NUL byte" : undefined;
}

/**
 * Returns the directory on the node that a volume binds, or undefined for an ordinary volume. The local driver passes
 * its options to mount(2): `{type: none, o: bind, device: /data}` is a bind mount. Empty, and thus an invalid path, if
 * the device is missing.
 */
export function bindSourceOf({ driver, driverOpts }: VolumeMount): string | undefined {
  if (driver !== "" && driver !== "local") return undefined;
  const options = (driverOpts.o ?? "").split(",").map((option) => option.trim());
  return options.some((option) => option === "bind" || option === "rbind")
    ? (driverOpts.device ?? "")
    : undefined;
}
