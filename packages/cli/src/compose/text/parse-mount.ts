import { isAbsolute, resolve } from "node:path";
import type { Parsed } from "./units.js";

/** The short form of a volume, `[source:]target[:options]`. */
export interface ShortMount {
  readonly source: string;
  readonly target: string;
  readonly options: readonly string[];
}

const WINDOWS_DRIVE = /^[a-zA-Z]:[\\/]/;

export function parseShortMount(text: string): Parsed<ShortMount> {
  const drive = WINDOWS_DRIVE.exec(text)?.[0] ?? "";
  const parts = text.slice(drive.length).split(":");
  const [first = "", ...others] = parts;
  const [source, target, options] = others.length === 0 ? ["", drive + first] : [drive + first, ...others];
  if (parts.length > 3 || target === "" || target === undefined || (others.length > 0 && source === "")) {
    const reason = 'write it like "data:/var/lib/data", "/etc/app:/etc/app:ro" or "/cache"';
    return { kind: "invalid", reason: `${JSON.stringify(text)} is not a volume: ${reason}` };
  }
  return { kind: "value", value: { source: source ?? "", target, options: options?.split(",") ?? [] } };
}

/** A source that is a path, and not the name of a volume. */
export function isPath(source: string): boolean {
  return /^[./~]/.test(source) || WINDOWS_DRIVE.test(source);
}

export interface Folders {
  readonly directory: string;
  readonly homeDirectory: string;
}

/** The absolute path that a bind's source means, and whether that depends on the machine that reads the file. */
export function resolveBindSource(source: string, folders: Folders): { path: string; isLocal: boolean } {
  if (source === "~" || source.startsWith("~/")) {
    return { path: resolve(folders.homeDirectory, `.${source.slice(1)}`), isLocal: true };
  }
  return { path: resolve(folders.directory, source), isLocal: !isAbsolute(source) };
}
