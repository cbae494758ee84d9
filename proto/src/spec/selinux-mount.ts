import type { Mount } from "../../gen/berth/v1/spec.js";

/**
 * Returns why Docker cannot set the SELinux label of a mount, or undefined if it can or if the mount has none. Docker
 * reads labels only in the form `source:target:options`, which cannot escape a colon and has no recursive option.
 */
export function selinuxMountProblem({ kind, target }: Mount): string | undefined {
  if (kind?.$case !== "bind" && kind?.$case !== "shipped") return undefined;
  if (kind.value.selinux === "") return undefined;
  // A shipped mount is copied to a path without a colon.
  const source = kind.$case === "bind" ? kind.value.source : "";
  if (source.includes(":") || target.includes(":")) {
    return "Docker cannot label a mount with a colon in a path; remove the label or the colon";
  }
  if (kind.$case === "bind" && !["", "enabled"].includes(kind.value.recursive)) {
    return "Docker cannot label a mount with the recursive option; remove the label or the option";
  }
  return undefined;
}
