/** The part of a generated service definition that calls and handlers need. */
export interface RpcMethod {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  // `never` and `unknown` make every generated method assignable to this type.
  readonly requestSerialize: (value: never) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => unknown;
  readonly responseSerialize: (value: never) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => unknown;
}

/** A generated service definition, such as `ControlServiceService`. */
export type RpcDefinition = Readonly<Record<string, RpcMethod>>;

export type RequestOf<M extends RpcMethod> = ReturnType<M["requestDeserialize"]>;
export type ResponseOf<M extends RpcMethod> = ReturnType<M["responseDeserialize"]>;

/** What a method takes: one message, or a stream of them. */
export type RpcInput<M extends RpcMethod> = M["requestStream"] extends true
  ? AsyncIterable<RequestOf<M>>
  : RequestOf<M>;

/** What a method gives: one message, or a stream of them. */
export type RpcOutput<M extends RpcMethod> = M["responseStream"] extends true
  ? AsyncIterable<ResponseOf<M>>
  : Promise<ResponseOf<M>>;

export interface CallOptions {
  /** Ends the call: its promise or stream rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Deadline of a call that answers once. Streams have none. @default 10 s */
  readonly timeoutMs?: number;
}

/** What a handler knows about its caller. */
export interface CallContext {
  /** Aborted when the caller went away, its deadline passed, or the server closes. */
  readonly signal: AbortSignal;
  /** "address:port" of the caller. */
  readonly peer: string;
  /** True when another server passed the call on; it is not passed on again. */
  readonly forwarded: boolean;
}

/** One async function per method of a service. An error that it throws reaches the caller as the same BerthError. */
export type RpcHandlers<D extends RpcDefinition> = {
  readonly [K in keyof D]: (input: RpcInput<D[K]>, context: CallContext) => RpcOutput<D[K]>;
};

/** One typed function per method of a service. */
export type RpcClient<D extends RpcDefinition> = {
  readonly [K in keyof D]: (input: RpcInput<D[K]>, options?: CallOptions) => RpcOutput<D[K]>;
};
