/** Thrown if a prerequisite is missing and setup cannot install it. The message says what to do. */
export class SetupError extends Error {
  name = "SetupError";
}
