/**
 * Ends a `switch` over a union or an enum: the code does not compile if the switch lacks a case. Throws when the value at
 * run time is one that the type does not have.
 */
export function assertNever(value: never): never {
  throw new Error(`unhandled case: ${JSON.stringify(value)}`);
}
