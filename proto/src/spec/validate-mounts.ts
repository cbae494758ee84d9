import type { Mount } from "../../gen/berth/v1/spec.js";
import { assertNever } from "../assert-never.js";
import { hostBindOf, hostPathProblem } from "./host-access.js";
import { volumeNameProblem } from "./names.js";
import type { Report } from "./violation.js";

const SELINUX_LABELS = ["", "z", "Z"];

/** Checks the mounts of one container. */
export function validateMounts(mounts: readonly Mount[], path: string, report: Report): void {
  const targets = new Map<string, number>();
  mounts.forEach((mount, index) => {
    const mountPath = `${path}[${index}]`;
    validateMount(mount, mountPath, report);
    const target = mount.target.replace(/\/+$/, "");
    const first = targets.get(target);
    if (first !== undefined)
      report(`${mountPath}.target`, `${path}[${first}] has the same target ${mount.target}`);
    else targets.set(target, index);
  });
}

function validateMount(mount: Mount, path: string, report: Report): void {
  if (!mount.target.startsWith("/")) {
    report(`${path}.target`, `${JSON.stringify(mount.target)} is not an absolute path in the container`);
  }
  if (/^\/+$/.test(mount.target))
    report(`${path}.target`, "the container's root directory cannot be a mount target");
  const kind = mount.kind;
  if (kind === undefined) {
    report(path, "the mount has no type; set bind, volume or tmpfs");
    return;
  }
  switch (kind.$case) {
    case "bind":
      validateHostPath(kind.value.source, `${path}.bind.source`, report);
      if (!SELINUX_LABELS.includes(kind.value.selinux)) {
        report(
          `${path}.bind.selinux`,
          `${JSON.stringify(kind.value.selinux)} is not an SELinux label: use z or Z`,
        );
      }
      return;
    case "volume": {
      const problem = kind.value.name === "" ? undefined : volumeNameProblem(kind.value.name);
      if (problem !== undefined) report(`${path}.volume.name`, problem);
      const source = hostBindOf(kind.value);
      if (source !== undefined) validateHostPath(source, `${path}.volume.driver_opts.device`, report);
      return;
    }
    case "tmpfs":
      if (kind.value.sizeBytes < 0) report(`${path}.tmpfs.size`, "the size is negative");
      return;
    default:
      assertNever(kind);
  }
}

/** Checks a directory of the node, for a bind mount and for a volume that is one. */
function validateHostPath(source: string, path: string, report: Report): void {
  const problem = hostPathProblem(source);
  if (problem !== undefined) report(path, problem);
}
