// The parts of node:buffer that the reader of Compose files uses.

export { Buffer } from "buffer/";

/** Returns whether bytes are a text in UTF-8. */
export function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
