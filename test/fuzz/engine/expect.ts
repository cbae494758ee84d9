import { deepStrictEqual } from "node:assert";
import { isBerthError } from "@berth/proto";

/**
 * Checks a property of a result.
 *
 * @throws Error with the message if the property is violated
 */
export function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`property violated: ${message}`);
}

/**
 * Checks that two values are deeply equal.
 *
 * @throws AssertionError
 */
export function checkEqual(actual: unknown, expected: unknown, message: string): void {
  deepStrictEqual(actual, expected, `property violated: ${message}`);
}

/** Returns whether an error is the correct response to invalid input. */
export type IsRejection = (error: unknown) => boolean;

/** Accepts a BerthError with any code except the one for bugs. */
export const isTypedError: IsRejection = (error) =>
  isBerthError(error) && !isBerthError(error, "BERTH_INTERNAL");

/**
 * Returns the result of a parser, or undefined if the parser rejects the input.
 *
 * @throws all other errors
 */
export function unlessRejected<T>(parse: () => T, isRejection: IsRejection = isTypedError): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (isRejection(error)) return undefined;
    throw error;
  }
}
