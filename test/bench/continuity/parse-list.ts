/**
 * Parses a comma-separated list of names. Returns all names if the list is undefined.
 *
 * @param what what a name stands for, for the error
 * @throws Error that lists the valid names
 */
export function parseList<Name extends string>(
  list: string | undefined,
  names: readonly Name[],
  what: string,
): readonly Name[] {
  if (list === undefined) return names;
  return list.split(",").map((text) => {
    const found = names.find((name) => name === text.trim());
    if (found !== undefined) return found;
    throw new Error(`unknown ${what} "${text}"; use one of ${names.join(", ")}`);
  });
}
