/** Returns whether the text contains wildcards. */
export const isGlob = (text: string): boolean => text.includes("*") || text.includes("?");

/**
 * Returns whether the glob matches the whole text. `*` matches any number of characters, `?` exactly one.
 *
 * On a mismatch only the last `*` is extended, so the time is at most the product of both lengths for any glob.
 */
export function matchesGlob(glob: string, text: string): boolean {
  let at = 0;
  let star = -1;
  let resumeAt = 0;
  let inText = 0;
  while (inText < text.length) {
    if (glob[at] === "*") {
      star = at;
      resumeAt = inText;
      at += 1;
    } else if (at < glob.length && (glob[at] === "?" || glob[at] === text[inText])) {
      at += 1;
      inText += 1;
    } else if (star >= 0) {
      resumeAt += 1;
      inText = resumeAt;
      at = star + 1;
    } else return false;
  }
  while (glob[at] === "*") at += 1;
  return at === glob.length;
}
