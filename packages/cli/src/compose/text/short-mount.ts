import { isAbsolute, resolve } from "node:path";
import { invalid, type Parsed, valid } from "./parsed.js";

/** The short form of a mount, `[source:]target[:options]`. */
export interface ShortMount {
  readonly source: string;
  readonly target: string;
  readonly options: readonly string[];
}

const WINDOWS_DRIVE = /^[a-zA-Z]:[\\/]/;

/** Parses the short form of a mount. Windows paths such as `C:\\data:/data` are accepted. */
export function parseShortMount(text: string): Parsed<ShortMount> {
  const drive = WINDOWS_DRIVE.exec(text)?.[0] ?? "";
  const [start = "", ...others] = text.slice(drive.length).split(":");
  const first = `${drive}${start}`;
  // A single part is the target of an anonymous volume.
  const [source, target = "", options] = others.length === 0 ? ["", first] : [first, ...others];
  if (others.length > 2 || target === "" || first === "") {
    const forms = '"data:/var/lib/data", "/etc/app:/etc/app:ro" or "/cache"';
    return invalid(`${JSON.stringify(text)} is not a volume: use a form such as ${forms}`);
  }
  return valid({ source, target, options: options?.split(",") ?? [] });
}

/** Whether a source is a path instead of the name of a volume. */
export function isPath(source: string): boolean {
  return /^[./~]/.test(source) || WINDOWS_DRIVE.test(source);
}

/** The directories that relative bind sources start at. */
export interface BaseDirectories {
  readonly directory: string;
  readonly homeDirectory: string;
}

/** Returns the absolute path of a bind source, and whether it was relative to a directory of this machine. */
export function resolveBindSource(source: string, base: BaseDirectories): { path: string; isLocal: boolean } {
  if (source === "~" || source.startsWith("~/")) {
    return { path: resolve(base.homeDirectory, `.${source.slice(1)}`), isLocal: true };
  }
  return { path: resolve(base.directory, source), isLocal: !isAbsolute(source) };
}
