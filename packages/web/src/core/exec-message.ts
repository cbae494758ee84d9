import { type JsonObject, readNumber, readObject, readOptionalObject, readText } from "./json.js";

/** A message from a command in a container. */
export type ExecMessage =
  | { readonly kind: "started" }
  | { readonly kind: "output"; readonly bytes: Uint8Array }
  | { readonly kind: "exited"; readonly exitCode: number }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "other" };

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** Returns the first request of a call that runs a command in a terminal. */
export function startRequest(target: string, command: readonly string[], size: TerminalSize): JsonObject {
  return {
    start: { target, command: { command, tty: true, stdin: true, env: ["TERM=xterm-256color"], size } },
  };
}

export function inputRequest(bytes: Uint8Array): JsonObject {
  return { input: { stdin: toBase64(bytes) } };
}

export function resizeRequest(size: TerminalSize): JsonObject {
  return { input: { resize: size } };
}

export function decodeExecMessage(json: JsonObject): ExecMessage {
  const error = readOptionalObject(json, "error");
  if (error !== undefined) return { kind: "failed", message: readText(error, "message") };
  const output = readObject(json, "output");
  if ("started" in output) return { kind: "started" };
  const exited = readOptionalObject(output, "exited");
  if (exited !== undefined) return { kind: "exited", exitCode: readNumber(exited, "exitCode") };
  const base64 = output.stdout ?? output.stderr;
  return typeof base64 === "string" ? { kind: "output", bytes: fromBase64(base64) } : { kind: "other" };
}

function toBase64(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
