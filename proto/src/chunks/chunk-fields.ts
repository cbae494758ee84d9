import { decodeChunk, encodeChunk } from "./chunk-codec.js";

/** The location of the next bytes of a stream: a field of nested messages that have no other field. */
export interface ChunkField<Message> {
  /** The numbers of the fields from the message to the bytes. */
  readonly path: readonly number[];
  /** Returns the bytes of a message that contains nothing else; otherwise undefined. */
  readonly bytesOf: (message: Message) => Uint8Array | undefined;
  readonly wrap: (bytes: Buffer) => Message;
}

/** The codecs of a generated method definition. */
interface MethodCodecs {
  // `never` and `unknown` make every generated method assignable to this type.
  readonly requestSerialize: (message: never) => Buffer;
  readonly requestDeserialize: (encoded: Buffer) => unknown;
  readonly responseSerialize: (message: never) => Buffer;
  readonly responseDeserialize: (encoded: Buffer) => unknown;
}

interface ChunkFields<Method extends MethodCodecs> {
  readonly request?: ChunkField<ReturnType<Method["requestDeserialize"]>>;
  readonly response?: ChunkField<ReturnType<Method["responseDeserialize"]>>;
}

/**
 * Returns the definition with faster encoding and decoding of messages that only carry bytes. The encoding is the same,
 * so the other side may use the generated code. All other messages go through the generated code.
 */
export function withChunkFields<D extends Readonly<Record<string, MethodCodecs>>>(
  definition: D,
  fields: { readonly [Name in keyof D]?: ChunkFields<D[Name]> },
): D {
  const entries = Object.entries(definition).map(([name, method]) => {
    const { request, response } = (fields[name] ?? {}) as ChunkFields<MethodCodecs>;
    const { requestSerialize, requestDeserialize, responseSerialize, responseDeserialize } = method;
    const changed = {
      ...method,
      carriesChunks: request !== undefined || response !== undefined,
      ...(request && {
        requestSerialize: encoder(request, requestSerialize),
        requestDeserialize: decoder(request, requestDeserialize),
      }),
      ...(response && {
        responseSerialize: encoder(response, responseSerialize),
        responseDeserialize: decoder(response, responseDeserialize),
      }),
    };
    return [name, changed] as const;
  });
  // The entries have the names and the types of the methods, but TypeScript cannot derive this.
  return Object.fromEntries(entries) as unknown as D;
}

function encoder(
  { path, bytesOf }: ChunkField<unknown>,
  encode: (message: never) => Buffer,
): (message: never) => Buffer {
  return (message) => {
    const bytes = bytesOf(message);
    return bytes === undefined ? encode(message) : encodeChunk(path, bytes);
  };
}

function decoder(
  { path, wrap }: ChunkField<unknown>,
  decode: (encoded: Buffer) => unknown,
): (encoded: Buffer) => unknown {
  return (encoded) => {
    const bytes = decodeChunk(path, encoded);
    return bytes === undefined ? decode(encoded) : wrap(bytes);
  };
}
