/**
 * Ends a `switch` over a union or an enum. The code does not compile if the switch lacks a case. Throws at run time for
 * a value that is not of the type, for example one from a newer release.
 */
export function assertNever(value: never): never {
  throw new Error(`unhandled case: ${JSON.stringify(value)}`);
}
