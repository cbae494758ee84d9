import { BerthError } from "./errors.js";

/** Maximum length of a reference in an error message. */
const MAX_REFERENCE_CHARS = 80;

export interface PrefixQuery<T> {
  /** The noun for an item, such as "CA". */
  readonly noun: string;
  /** A prefix of one item's ID. */
  readonly reference: string;
  readonly idOf: (item: T) => string;
  /** The command that lists the items. */
  readonly listCommand: string;
}

/**
 * Returns the only item whose ID starts with a reference.
 *
 * @throws BerthError BERTH_NOT_FOUND, BERTH_AMBIGUOUS
 */
export function findByPrefix<T>(items: Iterable<T>, query: PrefixQuery<T>): T {
  const { noun, reference, idOf, listCommand } = query;
  const matches = reference === "" ? [] : [...items].filter((item) => idOf(item).startsWith(reference));
  const [first] = matches;
  if (first !== undefined && matches.length === 1) return first;
  const name = `${noun} ${JSON.stringify(reference.slice(0, MAX_REFERENCE_CHARS))}`;
  const hint = `see "${listCommand}"`;
  throw first === undefined
    ? new BerthError({ code: "BERTH_NOT_FOUND", message: `${name} not found; ${hint}` })
    : new BerthError({
        code: "BERTH_AMBIGUOUS",
        message: `${name} is ambiguous: ${matches.length} IDs start with it; ${hint}`,
      });
}
