import type { BindMount, Mount, ShippedMount, TmpfsMount, VolumeMount } from "../../gen/berth/v1/spec.js";
import { assertNever } from "../assert-never.js";
import { isSha256Digest } from "../images/image-config.js";
import { bindSourceOf, hostPathProblem } from "./host-access.js";
import { imageProblem } from "./image-reference.js";
import { volumeNameProblem } from "./names.js";
import { selinuxMountProblem } from "./selinux-mount.js";
import { fillPlaceholders, findPlaceholderProblems } from "./task-placeholders.js";
import type { Report } from "./violation.js";

/** Maximum length of a mount's source: the longest path in Linux. */
const MAX_SOURCE_LENGTH = 4_096;
const SELINUX_LABELS = ["", "z", "Z"];
const RECURSIVE_MODES = ["", "enabled", "disabled", "writable", "readonly"];
/** Options of tmpfs without a value that Docker accepts. */
const TMPFS_FLAGS =
  /^(?:defaults|ro|rw|suid|nosuid|dev|nodev|exec|noexec|sync|async|dirsync|remount|mand|nomand|atime|noatime|diratime|nodiratime|relatime|norelatime|strictatime|nostrictatime)$/;
/** Options of tmpfs with a value that Docker accepts. The fields of the mount set the size and the mode. */
const TMPFS_VALUES = /^(?:(?:uid|gid|nr_inodes|nr_blocks|mpol)=[A-Za-z0-9:,_-]+|size=\d{1,3}%)$/;
/** Highest mode. The first digit has the sticky, setgid and setuid bits. */
const MAX_MODE = 0o7777;

/** Checks the mounts of one container. */
export function validateMounts(mounts: readonly Mount[], path: string, report: Report): void {
  const targets = new Map<string, number>();
  mounts.forEach((mount, index) => {
    const mountPath = `${path}[${index}]`;
    validateMount(mount, mountPath, report);
    const target = mount.target.replace(/\/+$/, "");
    const first = targets.get(target);
    if (first !== undefined) {
      report(`${mountPath}.target`, `${path}[${first}] has the same target ${mount.target}`);
    } else {
      targets.set(target, index);
    }
  });
}

function validateMount(mount: Mount, path: string, report: Report): void {
  if (!mount.target.startsWith("/")) {
    report(`${path}.target`, `${JSON.stringify(mount.target)} is not an absolute path in the container`);
  }
  if (/^\/+$/.test(mount.target)) {
    report(`${path}.target`, "the container's root directory cannot be a mount target");
  }
  const selinuxProblem = selinuxMountProblem(mount);
  if (selinuxProblem !== undefined) report(`${path}.${mount.kind?.$case}.selinux`, selinuxProblem);
  const kind = mount.kind;
  if (kind === undefined) {
    report(path, "the mount has no type; set bind, volume or tmpfs");
    return;
  }
  switch (kind.$case) {
    case "bind":
      validateBind(kind.value, `${path}.bind`, report);
      return;
    case "volume":
      validateVolume(kind.value, `${path}.volume`, report);
      return;
    case "tmpfs":
      validateTmpfs(kind.value, `${path}.tmpfs`, report);
      return;
    case "image": {
      const problem = imageProblem(kind.value.image);
      if (problem !== undefined) report(`${path}.image.image`, problem);
      validateSubpath(kind.value.subpath, `${path}.image.subpath`, report);
      return;
    }
    case "shipped":
      validateShipped(kind.value, `${path}.shipped`, report);
      return;
    default:
      assertNever(kind);
  }
}

function validateShipped({ digest, source, selinux }: ShippedMount, path: string, report: Report): void {
  if (!isSha256Digest(digest)) {
    report(`${path}.digest`, `${JSON.stringify(digest)} is not the digest of an archive`);
  }
  if (source.length > MAX_SOURCE_LENGTH) {
    report(`${path}.source`, `the path is longer than ${MAX_SOURCE_LENGTH} characters`);
  }
  validateSelinux(selinux, path, report);
}

function validateBind({ source, selinux, recursive }: BindMount, path: string, report: Report): void {
  validateHostPath(source, `${path}.source`, report);
  validateSelinux(selinux, path, report);
  if (!RECURSIVE_MODES.includes(recursive)) {
    const modes = RECURSIVE_MODES.filter((mode) => mode !== "").join(", ");
    report(`${path}.recursive`, `${JSON.stringify(recursive)} is invalid; use ${modes}`);
  }
}

function validateSelinux(label: string, path: string, report: Report): void {
  if (SELINUX_LABELS.includes(label)) return;
  report(`${path}.selinux`, `${JSON.stringify(label)} is not an SELinux label; use z or Z`);
}

function validateVolume(volume: VolumeMount, path: string, report: Report): void {
  const problem = volume.name === "" ? undefined : volumeNameTemplateProblem(volume.name);
  if (problem !== undefined) report(`${path}.name`, problem);
  const source = bindSourceOf(volume);
  if (source !== undefined) validateHostPath(source, `${path}.driver_opts.device`, report);
  if (volume.subpath !== "" && volume.name === "") {
    report(`${path}.subpath`, "an anonymous volume is empty; name the volume");
  }
  validateSubpath(volume.subpath, `${path}.subpath`, report);
}

/** Returns why the name of a volume, which can have placeholders, is invalid, or undefined if it is valid. */
function volumeNameTemplateProblem(name: string): string | undefined {
  const [placeholder] = findPlaceholderProblems(name, 1);
  return placeholder?.message ?? volumeNameProblem(fillPlaceholders(name, () => "x"));
}

function validateTmpfs({ sizeBytes, mode, options }: TmpfsMount, path: string, report: Report): void {
  if (sizeBytes < 0) report(`${path}.size`, "the size is negative");
  if (mode > MAX_MODE) report(`${path}.mode`, `${mode.toString(8)} is not a mode such as 1777`);
  options.forEach((option, index) => {
    if (TMPFS_FLAGS.test(option) || TMPFS_VALUES.test(option)) return;
    const validOptions = "uid, gid, size, mode, nr_inodes, exec, suid, dev and their opposites";
    report(
      `${path}.options[${index}]`,
      `${JSON.stringify(option)} is not an option of tmpfs; use ${validOptions}`,
    );
  });
}

/** Checks a directory in a volume or an image. Docker rejects one that leads out of it. */
function validateSubpath(subpath: string, path: string, report: Report): void {
  if (subpath === "") return;
  if (subpath.startsWith("/") || subpath.split("/").includes("..") || subpath.includes("\0")) {
    report(path, `${JSON.stringify(subpath)} is not a path inside the mount; use a relative path without ..`);
  }
}

/** Checks a directory of the node, for a bind mount and for a volume that is one. */
function validateHostPath(source: string, path: string, report: Report): void {
  const problem = hostPathProblem(source);
  if (problem !== undefined) report(path, problem);
}
