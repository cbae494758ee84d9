import type { Caller } from "./caller.js";

/** The part of a generated method definition that clients and servers use. */
export interface RpcMethod {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  // `never` and `unknown` make every generated method assignable to this type.
  readonly requestSerialize: (value: never) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => unknown;
  readonly responseSerialize: (value: never) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => unknown;
  /** Whether calls carry the chunks of files, images, or output. @default false */
  readonly carriesChunks?: boolean;
}

/** A generated service definition, such as `ControlServiceService`. */
export type RpcDefinition = Readonly<Record<string, RpcMethod>>;

export type RequestOf<M extends RpcMethod> = ReturnType<M["requestDeserialize"]>;
export type ResponseOf<M extends RpcMethod> = ReturnType<M["responseDeserialize"]>;

/** Input of a method: one message, or a stream of messages. */
export type RpcInput<M extends RpcMethod> = M["requestStream"] extends true
  ? AsyncIterable<RequestOf<M>>
  : RequestOf<M>;

/** Output of a method: one message, or a stream of messages. */
export type RpcOutput<M extends RpcMethod> = M["responseStream"] extends true
  ? AsyncIterable<ResponseOf<M>>
  : Promise<ResponseOf<M>>;

export interface CallOptions {
  /** Cancels the call, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Deadline of a call with one response. Streams have none. Default: 10 s. */
  readonly timeoutMs?: number;
  /** The client whose call is forwarded. */
  readonly forwardedFor?: Pick<CallContext, "client" | "caller">;
}

/** The context of a call on the server. */
export interface CallContext {
  /** Aborts when the caller disconnects, its deadline passes, or the server closes. */
  readonly signal: AbortSignal;
  /** "address:port" of the caller. */
  readonly peer: string;
  /** "address:port" of the client. Differs from `peer` when another server forwarded the call. */
  readonly client: string;
  /** The caller; the original caller when another server forwarded the call. Anonymous for a call that joins the cluster. */
  readonly caller: Caller;
  /** Whether another server forwarded the call. A forwarded call is not forwarded again. */
  readonly forwarded: boolean;
}

/** One async function per method of a service. A BerthError that it throws reaches the caller unchanged. */
export type RpcHandlers<D extends RpcDefinition> = {
  readonly [K in keyof D]: (input: RpcInput<D[K]>, context: CallContext) => RpcOutput<D[K]>;
};

/** One typed function per method of a service. */
export type RpcClient<D extends RpcDefinition> = {
  readonly [K in keyof D]: (input: RpcInput<D[K]>, options?: CallOptions) => RpcOutput<D[K]>;
};
