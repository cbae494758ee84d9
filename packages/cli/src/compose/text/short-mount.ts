import { posix } from "node:path";
import { invalid, type Parsed, valid } from "./parsed.js";

/** The short form of a mount, `[source:]target[:options]`. */
export interface ShortMount {
  readonly source: string;
  readonly target: string;
  readonly options: readonly string[];
}

/** Modes in which mounts below a bind mount propagate between the host and a container. */
export const PROPAGATIONS = ["shared", "slave", "private", "rshared", "rslave", "rprivate"];

const WINDOWS_DRIVE = /^[a-zA-Z]:[\\/]/;

/** Parses the short form of a mount. Windows paths such as `C:\\data:/data` are accepted. */
export function parseShortMount(text: string): Parsed<ShortMount> {
  const [first = "", ...others] = splitAtColons(text);
  // A single part is the target of an anonymous volume.
  const [source, target = "", options] = others.length === 0 ? ["", first] : [first, ...others];
  if (others.length > 2 || target === "" || first === "") {
    const forms = '"data:/var/lib/data", "/etc/app:/etc/app:ro" or "/cache"';
    return invalid(`${JSON.stringify(text)} is not a volume; use a form such as ${forms}`);
  }
  return valid({ source, target, options: options?.split(",") ?? [] });
}

/** Splits text at its colons, except for a colon after a Windows drive letter. */
function splitAtColons(text: string): readonly string[] {
  const parts: string[] = [];
  for (let remaining = text; ; ) {
    const drive = WINDOWS_DRIVE.exec(remaining)?.[0] ?? "";
    const colon = remaining.indexOf(":", drive.length);
    if (colon < 0) return [...parts, remaining];
    parts.push(remaining.slice(0, colon));
    remaining = remaining.slice(colon + 1);
  }
}

/** Returns whether a source is a path instead of the name of a volume. */
export function isPath(source: string): boolean {
  return /^(?:[./~]|\\\\)/.test(source) || WINDOWS_DRIVE.test(source);
}

export function isWindowsPath(path: string): boolean {
  return WINDOWS_DRIVE.test(path) || path.startsWith("\\\\");
}

/** Normalizes a target path as Compose does: `/data/../x/` becomes `/x`. Mounts are compared by this path. */
export function normalizeTarget(target: string): string {
  if (target === "") return "";
  const path = posix.normalize(target).replace(/^\/\//, "/");
  return path.length > 1 ? path.replace(/\/$/, "") : path;
}
