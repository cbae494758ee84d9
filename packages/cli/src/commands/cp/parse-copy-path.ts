import { isAbsolute } from "node:path";

/** One side of a copy. */
export type CopyPath =
  | { readonly kind: "task"; readonly target: string; readonly path: string }
  | { readonly kind: "local"; readonly path: string }
  /** A tar archive on standard input or output. */
  | { readonly kind: "stream" };

/** Parses `TASK:PATH`, a local path or `-`, by Docker's rules: a path that starts with "/" or "." is local. */
export function parseCopyPath(text: string): CopyPath {
  if (text === "-") return { kind: "stream" };
  const colon = text.indexOf(":");
  if (isAbsolute(text) || text.startsWith(".") || colon <= 0) return { kind: "local", path: text };
  return { kind: "task", target: text.slice(0, colon), path: text.slice(colon + 1) };
}
