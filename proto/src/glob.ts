/** Returns whether text contains wildcards. */
export function isGlob(text: string): boolean {
  return text.includes("*") || text.includes("?");
}

/**
 * Returns whether the glob matches the whole text. `*` matches any number of characters, `?` exactly one.
 *
 * A mismatch only extends the match of the last `*`. So the time is at most the product of both lengths.
 */
export function matchesGlob(glob: string, text: string): boolean {
  let globIndex = 0;
  let textIndex = 0;
  let starIndex = -1;
  /** Index in the text up to which the last `*` matches. */
  let starEnd = 0;
  while (textIndex < text.length) {
    if (glob[globIndex] === "*") {
      starIndex = globIndex;
      starEnd = textIndex;
      globIndex += 1;
    } else if (globIndex < glob.length && (glob[globIndex] === "?" || glob[globIndex] === text[textIndex])) {
      globIndex += 1;
      textIndex += 1;
    } else if (starIndex >= 0) {
      starEnd += 1;
      textIndex = starEnd;
      globIndex = starIndex + 1;
    } else {
      return false;
    }
  }
  while (glob[globIndex] === "*") globIndex += 1;
  return globIndex === glob.length;
}
