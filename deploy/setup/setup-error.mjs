/** A prerequisite is missing that setup cannot install. The message says what to do. */
export class SetupError extends Error {
  name = "SetupError";
}
