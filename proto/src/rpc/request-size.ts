import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from "@grpc/grpc-js";
import { limitsOf } from "./limits.js";

/** Bytes of requests that a server keeps for one caller. The largest request has 16 MiB. */
const MAX_CALLER_BYTES = 64 * 1024 * 1024;

/** Internal fields of a call of grpc-js, which has one limit for all methods, and none for the calls of a caller. */
interface CallInternals {
  readonly decoder: RequestDecoder;
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
 * Rejects a request as soon as its length has arrived and exceeds the limit of its method. Must be the first interceptor,
 * which gets the call of grpc-js itself.
 */
export const requestSizeInterceptor: ServerInterceptor = ({ path }, call) => {
  const { decoder } = call as unknown as CallInternals;
  decoder.maxReadMessageLength = limitsOf(path).request;
  const limited = new ServerInterceptingCall(call);
  decoders.set(limited, decoder);
  return limited;
};

/** A call whose requests count for its caller. */
export interface CountedCall {
  /** As `requestSizeInterceptor` has passed it on. */
  readonly call: ServerInterceptingCallInterface;
  /** Key of the caller. */
  readonly caller: string;
  readonly isStream: boolean;
}

/** Limits the bytes of the requests that a server keeps for each caller: those that arrive, and those of unary calls. */
export class RequestBytes {
  readonly #maxBytes: number;
  readonly #bytesByCaller = new Map<string, number>();

  constructor(maxBytes = MAX_CALLER_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** Counts the requests of a call from now on. Returns a function to call when it has ended. */
  count({ call, caller, isStream }: CountedCall): () => void {
    const decoder = decoders.get(call);
    if (decoder === undefined) throw new Error("a call has bypassed the limit of its requests");
    const write = decoder.write.bind(decoder);
    let bytes = 0;
    let completeBytes = 0;
    const update = (next: number): void => {
      this.#add(caller, next - bytes);
      bytes = next;
    };
    decoder.write = (data) => {
      const requests = write(data);
      if (!isStream) for (const request of requests) completeBytes += request.length;
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
    if (bytes === 0) this.#bytesByCaller.delete(caller);
    else this.#bytesByCaller.set(caller, bytes);
  }
}

function arrivedBytes({ readMessageSize, readMessageRemaining }: RequestDecoder): number {
  return readMessageRemaining === 0 ? 0 : readMessageSize - readMessageRemaining;
}

function tooManyBytes(limit: number): Error {
  return new Error(`the requests of this caller in progress have more than ${limit} bytes`);
}
