import type { RpcDefinition, RpcMethod } from "./types.js";

/** The encodings of received messages, and of responses that are sent to many callers, by decoded message. */
const encodings = new WeakMap<object, Buffer>();

/**
 * Returns the definition for a server that forwards messages. A received message is sent with its original bytes, so it
 * keeps fields that only a newer release knows. Decoding and encoding would drop them.
 */
export function preserveReceived<D extends RpcDefinition>(definition: D): D {
  const entries = Object.entries(definition).map(([name, method]) => [name, preserveMethod(method)] as const);
  // The entries have the names and the types of the methods, but TypeScript cannot derive this.
  return Object.fromEntries(entries) as unknown as D;
}

/** Returns the definition for a method that sends the same responses to many callers. Each response is encoded once. */
export function encodeResponsesOnce<D extends RpcDefinition>(definition: D, name: keyof D): D {
  const method = definition[name];
  if (method === undefined) return definition;
  const responseSerialize = (value: never): Buffer => {
    const known = encodings.get(value);
    if (known !== undefined) return known;
    const bytes = method.responseSerialize(value);
    encodings.set(value, bytes);
    return bytes;
  };
  return { ...definition, [name]: { ...method, responseSerialize } };
}

function preserveMethod(method: RpcMethod): RpcMethod {
  return {
    ...method,
    requestDeserialize: remember(method.requestDeserialize),
    requestSerialize: reuse(method.requestSerialize),
    responseDeserialize: remember(method.responseDeserialize),
    responseSerialize: reuse(method.responseSerialize),
  };
}

function remember(decode: (bytes: Buffer) => unknown): (bytes: Buffer) => unknown {
  return (bytes) => {
    const message = decode(bytes);
    if (typeof message === "object" && message !== null) encodings.set(message, bytes);
    return message;
  };
}

function reuse(encode: (value: never) => Buffer): (value: never) => Buffer {
  return (value) => encodings.get(value) ?? encode(value);
}
