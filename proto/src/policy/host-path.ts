import { matchesGlob } from "../glob.js";

/** Links that every host has: a path below the first name leads to the path below the second one. */
const PATH_LINKS: readonly (readonly [from: readonly string[], to: readonly string[]])[] = [
  [["var", "run"], ["run"]],
  [
    ["var", "lock"],
    ["run", "lock"],
  ],
];
/** Links of the kernel below `/proc/PID`. Each leads to any file of the host. */
const PROCESS_LINKS = ["cwd", "exe", "fd", "map_files"];
const PROCESS_PATTERN = /^(?:\d+|self|thread-self)$/;

/**
 * Returns the segments of an absolute path of a host, without empty ones and `.`, and with the links that every host
 * has replaced. Returns undefined for a path with `..` and for a relative path: where they lead depends on links.
 *
 * `/proc/1/root/etc` is `/etc`, and `/proc/1/cwd/x` may be any file, so it is returned as the root directory.
 */
export function hostPathSegments(path: string): readonly string[] | undefined {
  if (!path.startsWith("/")) return undefined;
  const segments = path.split("/").filter((segment) => segment !== "" && segment !== ".");
  return segments.includes("..") ? undefined : replaceLinks(segments);
}

function replaceLinks(segments: readonly string[]): readonly string[] {
  for (const [from, to] of PATH_LINKS) {
    if (from.every((segment, index) => segments[index] === segment)) {
      return replaceLinks([...to, ...segments.slice(from.length)]);
    }
  }
  if (segments[0] === "dev" && segments[1] === "fd") return [];
  const [proc, process = ""] = segments;
  if (proc !== "proc" || !(PROCESS_PATTERN.test(process) || isTemplate(process))) return segments;
  const root = segments.indexOf("root", 2);
  if (root >= 0) return replaceLinks(segments.slice(root + 1));
  return segments.slice(2).some((segment) => PROCESS_LINKS.includes(segment) || isTemplate(segment))
    ? []
    : segments;
}

/**
 * Returns whether the agent replaces a part of the segment, such as `{{.Service.Name}}`, so that its text is not known
 * yet.
 */
function isTemplate(segment: string): boolean {
  return segment.includes("{{");
}

/** Relation of a path to the paths that a pattern matches. */
export type PathRelation =
  /** The path matches, or it is below a path that matches. */
  | "inside"
  /** The path is a directory that can contain a matching path. */
  | "contains"
  | "none";

/**
 * Compares a path with a pattern such as `/srv` or `/dev/sd*`. Wildcards match within one segment.
 *
 * @param templates whether a segment with a placeholder counts as matching: true to deny, false to allow
 */
export function comparePath(
  pattern: readonly string[],
  path: readonly string[],
  { templates }: { readonly templates: boolean },
): PathRelation {
  const common = Math.min(pattern.length, path.length);
  for (let index = 0; index < common; index += 1) {
    const segment = path[index] ?? "";
    const isMatch = matchesGlob(pattern[index] ?? "", segment) || (templates && isTemplate(segment));
    if (!isMatch) return "none";
  }
  return path.length >= pattern.length ? "inside" : "contains";
}
