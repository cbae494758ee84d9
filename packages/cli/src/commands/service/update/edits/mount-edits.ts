import { type Edit, edit, inContainer } from "../edit.js";
import { nonEmptyText, replaced, without } from "../flag-values.js";
import { parseMountFlag } from "../parse-mount-flag.js";

/** What is mounted into a container: one thing at each path. */
export const MOUNT_EDITS = {
  "mount-rm": edit(
    nonEmptyText,
    inContainer(({ mounts }, target) => ({ mounts: without(mounts, isAt(target)) })),
  ),
  "mount-add": edit(
    parseMountFlag,
    inContainer(({ mounts }, mount) => ({ mounts: replaced(mounts, isAt(mount.target), mount) })),
  ),
} satisfies Readonly<Record<string, Edit>>;

function isAt(path: string): (mount: { readonly target: string }) => boolean {
  const bare = (target: string): string => target.replace(/\/+$/, "");
  return ({ target }) => bare(target) === bare(path);
}
