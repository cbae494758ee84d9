import {
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientWritableStream,
  Metadata,
} from "@grpc/grpc-js";
import { BerthError } from "../errors.js";
import { formatIdentityUri } from "../identity/identity.js";
import { scaleTiming } from "../timing-scale.js";
import { addCallVersion } from "./call-version.js";
import { FORWARDED_CALLER_KEY, FORWARDED_CLIENT_KEY } from "./channel-options.js";
import {
  addressOf,
  type ClientConnection,
  ClientConnections,
  type RpcClientOptions,
} from "./client-connections.js";
import { allowHeapGrowth } from "./heap-growth.js";
import { limitsOf, tooManyStreamsError } from "./limits.js";
import { fromServiceError } from "./status.js";
import { readMessages, writeMessages } from "./streams.js";
import type { CallOptions, RpcClient, RpcDefinition, RpcMethod } from "./types.js";

/** Deadline of a call with one response. */
const DEFAULT_TIMEOUT_MS = scaleTiming(10_000);

export interface RpcConnection<D extends RpcDefinition> {
  /** "host:port", or "unix:/path". */
  readonly address: string;
  readonly calls: RpcClient<D>;
  /** Starts to connect ahead of the first call, which would do so otherwise. A failure is that of the first call. */
  connect(): void;
  /** Closes the connection. Calls in progress fail. */
  close(): void;
}

/** A call to start. `input` is a message, or an async iterable of messages for a request stream. */
interface RpcCall {
  readonly connection: ClientConnection;
  readonly method: RpcMethod;
  readonly input: unknown;
  readonly options: CallOptions;
}

/** Called when a call with one response has ended. `error` is null on success. */
type OnResponse = (error: unknown, response: unknown) => void;

type AnyClientStream =
  | ClientReadableStream<unknown>
  | ClientWritableStream<unknown>
  | ClientDuplexStream<unknown, unknown>;

/** Returns a typed client with one function per method. Calls fail with a BerthError, or with the signal's reason. */
export function createRpcClient<D extends RpcDefinition>(
  definition: D,
  options: RpcClientOptions,
): RpcConnection<D> {
  const [anyMethod] = Object.values(definition);
  const connections = new ClientConnections(options, limitsOf(anyMethod?.path ?? ""));
  const calls = Object.fromEntries(
    Object.entries(definition).map(([name, method]) => [name, createCallFunction(connections, method)]),
  );
  return {
    address: addressOf(options),
    calls: calls as RpcClient<D>,
    connect: () => connections.current.connect(),
    close: () => connections.close(),
  };
}

function createCallFunction(
  connections: ClientConnections,
  method: RpcMethod,
): (input: never, options?: CallOptions) => unknown {
  const call = method.responseStream ? callForStream : callForResponse;
  return (input, options = {}) => call({ connection: connections.current, method, input, options });
}

/**
 * Starts a call, which counts as open until `connection.endCall`.
 *
 * @throws BerthError BERTH_LIMIT_EXCEEDED, or BERTH_SERVER_UNREACHABLE when the connection was closed
 */
function startCounted<T>(connection: ClientConnection, start: () => T): T {
  const { address } = connection;
  if (!connection.startCall()) throw tooManyStreamsError(address);
  try {
    return start();
  } catch (cause) {
    connection.endCall();
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `cannot call the berth server at ${address}: ${reason}`;
    throw new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message, cause });
  }
}

/** Makes a call with one response. A call that sends a stream has no deadline. */
function callForResponse(rpc: RpcCall): Promise<unknown> {
  const { connection, options } = rpc;
  const { signal } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const call = startCounted(connection, () =>
      startResponseCall(rpc, (error, response) => {
        connection.endCall();
        signal?.removeEventListener("abort", cancel);
        if (error === null) {
          resolve(response);
        } else {
          reject(signal?.aborted ? signal.reason : fromServiceError(error, connection.address));
        }
      }),
    );
    const cancel = (): void => call.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
  });
}

function startResponseCall(
  { connection, method, input, options }: RpcCall,
  onResponse: OnResponse,
): { cancel: () => void } {
  const { client } = connection;
  const metadata = createMetadata(connection, options);
  const { path, requestSerialize, responseDeserialize } = method;
  const serialize = requestSerialize as (value: unknown) => Buffer;
  if (!method.requestStream) {
    const grpcOptions = { deadline: Date.now() + (options.timeoutMs ?? DEFAULT_TIMEOUT_MS) };
    return client.makeUnaryRequest(
      path,
      serialize,
      responseDeserialize,
      input,
      metadata,
      grpcOptions,
      onResponse,
    );
  }
  const call = client.makeClientStreamRequest(path, serialize, responseDeserialize, metadata, {}, onResponse);
  sendAll(call, input as AsyncIterable<unknown>);
  return call;
}

/** Yields the responses of a call. Cancels the call when the consumer stops early. */
async function* callForStream(rpc: RpcCall): AsyncGenerator<unknown> {
  const { connection, method, options } = rpc;
  const { signal } = options;
  signal?.throwIfAborted();
  const call = startCounted(connection, () => startStreamCall(rpc));
  const endHeapGrowth = method.carriesChunks ? allowHeapGrowth() : undefined;
  const cancel = (): void => call.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  // Without a listener, an error between two reads would end the process. The iterator reports the error.
  call.on("error", () => {});
  try {
    yield* readMessages(call);
  } catch (error) {
    throw signal?.aborted ? signal.reason : fromServiceError(error, connection.address);
  } finally {
    signal?.removeEventListener("abort", cancel);
    call.cancel();
    connection.endCall();
    endHeapGrowth?.();
  }
}

/** Returns the metadata of a call: the version of this program and, for a forwarded call, its original caller. */
function createMetadata(
  { forwardedCluster: cluster }: ClientConnection,
  { forwardedFor }: CallOptions,
): Metadata {
  const metadata = new Metadata();
  addCallVersion(metadata);
  if (cluster === undefined) return metadata;
  metadata.set(FORWARDED_CLIENT_KEY, forwardedFor?.client ?? "unknown");
  // A host or user that joins has no identity yet.
  if (forwardedFor !== undefined && forwardedFor.caller.kind !== "anonymous") {
    metadata.set(FORWARDED_CALLER_KEY, formatIdentityUri({ cluster, identity: forwardedFor.caller }));
  }
  return metadata;
}

function startStreamCall({
  connection,
  method,
  input,
  options,
}: RpcCall): ClientReadableStream<unknown> | ClientDuplexStream<unknown, unknown> {
  const { path, requestSerialize, responseDeserialize } = method;
  const serialize = requestSerialize as (value: unknown) => Buffer;
  const { client } = connection;
  const metadata = createMetadata(connection, options);
  if (!method.requestStream) {
    return client.makeServerStreamRequest(path, serialize, responseDeserialize, input, metadata, {});
  }
  const call = client.makeBidiStreamRequest(path, serialize, responseDeserialize, metadata, {});
  sendAll(call, input as AsyncIterable<unknown>);
  return call;
}

/** Sends messages in the background until the call ends. Cancels the call when the producer fails. */
function sendAll(
  call: Exclude<AnyClientStream, ClientReadableStream<unknown>>,
  messages: AsyncIterable<unknown>,
): void {
  const ended = new AbortController();
  call.on("status", () => ended.abort());
  call.on("error", () => ended.abort());
  writeMessages(call, messages, ended.signal).then(
    () => call.end(),
    () => call.cancel(),
  );
}
