/**
 * Returns whether all numbers in a message are finite. The generated `fromJSON` functions convert any value to the type
 * of its field, so text in a field for a number becomes NaN.
 */
export function hasOnlyFiniteNumbers(message: unknown): boolean {
  if (typeof message === "number") return Number.isFinite(message);
  if (typeof message !== "object" || message === null) return true;
  return Object.values(message).every(hasOnlyFiniteNumbers);
}
