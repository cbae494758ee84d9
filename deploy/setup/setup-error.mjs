/** Something that a person must do before berth can run here; the message says what. */
export class SetupError extends Error {
  name = "SetupError";
}
