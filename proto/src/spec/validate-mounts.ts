import type { Mount } from "../../gen/berth/v1/spec.js";
import { assertNever } from "../assert-never.js";
import { volumeNameProblem } from "./names.js";
import type { Report } from "./violation.js";

/** Checks the mounts of one container, each alone and against the others. */
export function validateMounts(mounts: readonly Mount[], path: string, report: Report): void {
  const targets = new Map<string, number>();
  mounts.forEach((mount, index) => {
    const here = `${path}[${index}]`;
    validateMount(mount, here, report);
    const target = mount.target.replace(/\/+$/, "");
    const first = targets.get(target);
    if (first !== undefined)
      report(`${here}.target`, `${mount.target} is already the target of ${path}[${first}]`);
    else targets.set(target, index);
  });
}

function validateMount(mount: Mount, path: string, report: Report): void {
  if (!mount.target.startsWith("/")) {
    report(`${path}.target`, `${JSON.stringify(mount.target)} is not an absolute path in the container`);
  }
  if (/^\/+$/.test(mount.target))
    report(`${path}.target`, "nothing can be mounted over the container's root");
  const kind = mount.kind;
  if (kind === undefined) {
    report(path, "a mount is a bind, a volume or a tmpfs: this one is none of them");
    return;
  }
  switch (kind.$case) {
    case "bind":
      if (!kind.value.source.startsWith("/")) {
        report(
          `${path}.bind.source`,
          `${JSON.stringify(kind.value.source)} is not an absolute path on the node`,
        );
      }
      return;
    case "volume": {
      const problem = kind.value.name === "" ? undefined : volumeNameProblem(kind.value.name);
      if (problem !== undefined) report(`${path}.volume.name`, problem);
      return;
    }
    case "tmpfs":
      if (kind.value.sizeBytes < 0) report(`${path}.tmpfs.size`, "the size is negative");
      return;
    default:
      assertNever(kind);
  }
}
