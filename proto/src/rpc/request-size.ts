import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from "@grpc/grpc-js";
import { limitsOf } from "./limits.js";

/** Maximum size of the requests that a server keeps in memory for one caller. The largest request has 16 MiB. */
const MAX_CALLER_BYTES = 64 * 1024 * 1024;

/**
 * Internal fields of a grpc-js call. grpc-js itself has one size limit for all methods, and none for the calls of one
 * caller.
 */
interface CallInternals {
  readonly decoder?: Partial<RequestDecoder>;
}

/** Assembles the requests of a call. */
interface RequestDecoder {
  maxReadMessageLength: number;
  /** Length of the request that is arriving, and the bytes that are missing. */
  readonly readMessageSize: number;
  readonly readMessageRemaining: number;
  /** The bytes of this request that have arrived. */
  readPartialMessage: readonly Buffer[];
  /** Returns the requests that the data completes. An error ends the call, as for a request that is too long. */
  write(data: Buffer): readonly Buffer[];
}

const decoders = new WeakMap<ServerInterceptingCallInterface, RequestDecoder>();

/**
 * Rejects a request whose announced length exceeds the limit of its method, before the rest arrives. Must be the first
 * interceptor: only this one receives the call object of grpc-js itself.
 */
export const requestSizeInterceptor: ServerInterceptor = ({ path }, call) => {
  const decoder = decoderOf(call);
  decoder.maxReadMessageLength = limitsOf(path).request;
  const limited = new ServerInterceptingCall(call);
  decoders.set(limited, decoder);
  return limited;
};

/**
 * Returns the decoder of a call. Fails if this version of grpc-js assembles requests differently, since requests would be
 * unlimited otherwise.
 */
export function decoderOf(call: ServerInterceptingCallInterface): RequestDecoder {
  const { decoder = {} } = call as unknown as CallInternals;
  const isKnown =
    typeof decoder.maxReadMessageLength === "number" &&
    typeof decoder.readMessageSize === "number" &&
    typeof decoder.readMessageRemaining === "number" &&
    Array.isArray(decoder.readPartialMessage) &&
    typeof decoder.write === "function";
  if (!isKnown) throw new Error("cannot limit requests: this version of @grpc/grpc-js is not supported");
  return decoder as RequestDecoder;
}

/** A call whose requests count toward the limit of its caller. */
export interface CountedCall {
  /** The call as returned by `requestSizeInterceptor`. */
  readonly call: ServerInterceptingCallInterface;
  /** Key of the caller. */
  readonly caller: string;
  readonly isStream: boolean;
}

/**
 * Limits the memory that the requests of each caller use: requests that are still arriving, and requests of unary calls
 * until the call ends.
 */
export class RequestByteLimiter {
  readonly #maxBytes: number;
  readonly #bytesByCaller = new Map<string, number>();

  constructor(maxBytes = MAX_CALLER_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** Counts the requests of a call. The returned function ends the count; call it when the call has ended. */
  count({ call, caller, isStream }: CountedCall): () => void {
    const decoder = decoders.get(call);
    if (decoder === undefined) throw new Error("requestSizeInterceptor did not see this call");
    const write = decoder.write.bind(decoder);
    let bytes = 0;
    let completeBytes = 0;
    const update = (next: number): void => {
      this.#add(caller, next - bytes);
      bytes = next;
    };
    decoder.write = (data) => {
      const requests = write(data);
      if (!isStream) completeBytes += requests.reduce((sum, { length }) => sum + length, 0);
      update(completeBytes + arrivedBytes(decoder));
      if ((this.#bytesByCaller.get(caller) ?? 0) > this.#maxBytes) throw tooManyBytes(this.#maxBytes);
      return requests;
    };
    return () => {
      update(0);
      // The client may keep its side of the stream open.
      decoder.readPartialMessage = [];
    };
  }

  #add(caller: string, change: number): void {
    const bytes = (this.#bytesByCaller.get(caller) ?? 0) + change;
    if (bytes === 0) {
      this.#bytesByCaller.delete(caller);
    } else {
      this.#bytesByCaller.set(caller, bytes);
    }
  }
}

function arrivedBytes({ readMessageSize, readMessageRemaining }: RequestDecoder): number {
  return readMessageRemaining === 0 ? 0 : readMessageSize - readMessageRemaining;
}

function tooManyBytes(limit: number): Error {
  return new Error(`the caller's in-flight requests exceed ${limit} bytes`);
}
