// Functions of Node.js in modules that the reader of Compose files imports and does not call.

export function createHash(): never {
  throw new Error("hashes are not available in browsers");
}

export function setImmediate(): never {
  throw new Error("setImmediate is not available in browsers");
}
