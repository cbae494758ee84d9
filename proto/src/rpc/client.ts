import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientWritableStream,
  Metadata,
} from "@grpc/grpc-js";
import { clientOptions, FORWARDED_KEY } from "./channel-options.js";
import { channelCredentials } from "./credentials.js";
import { limitsOf, MAX_STREAMS, tooManyStreams } from "./limits.js";
import { fromServiceError } from "./status.js";
import { readMessages, writeMessages } from "./streams.js";
import type { CallOptions, RpcClient, RpcDefinition, RpcMethod } from "./types.js";

/** Deadline of a call with one response. */
const DEFAULT_TIMEOUT_MS = 10_000;

export interface RpcClientOptions {
  /** "host:port". Connects with the first call. */
  readonly address: string;
  /** Marks every call as forwarded by another server. */
  readonly forwarded?: boolean;
}

export interface RpcConnection<D extends RpcDefinition> {
  readonly address: string;
  readonly calls: RpcClient<D>;
  /** Closes the connection. Calls in progress fail. */
  close(): void;
}

/** The gRPC client and the number of its calls. */
interface GrpcConnection {
  readonly client: Client;
  readonly address: string;
  readonly isForwarding: boolean;
  /** Calls in progress. Further calls would wait for one of them to end, so they fail. */
  openCalls: number;
}

/** A call to start. `input` is a message, or an async iterable of messages for a request stream. */
interface RpcCall {
  readonly connection: GrpcConnection;
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
  const { address, forwarded = false } = options;
  const [anyMethod] = Object.values(definition);
  const limits = limitsOf(anyMethod?.path ?? "");
  const client = new Client(address, channelCredentials(), clientOptions(limits));
  const connection: GrpcConnection = { client, address, isForwarding: forwarded, openCalls: 0 };
  const calls = Object.fromEntries(
    Object.entries(definition).map(([name, method]) => [name, createCallFunction(connection, method)]),
  );
  return { address, calls: calls as RpcClient<D>, close: () => client.close() };
}

function createCallFunction(
  connection: GrpcConnection,
  method: RpcMethod,
): (input: never, options?: CallOptions) => unknown {
  return method.responseStream
    ? (input, options = {}) => callForStream({ connection, method, input, options })
    : (input, options = {}) => callForResponse({ connection, method, input, options });
}

/** Makes a call with one response. A call that sends a stream has no deadline. */
function callForResponse(rpc: RpcCall): Promise<unknown> {
  const { connection, options } = rpc;
  const { signal } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    if (connection.openCalls >= MAX_STREAMS) return reject(tooManyStreams(connection.address));
    connection.openCalls += 1;
    const call = startResponseCall(rpc, (error, response) => {
      connection.openCalls -= 1;
      signal?.removeEventListener("abort", cancel);
      if (error === null) resolve(response);
      else reject(signal?.aborted ? signal.reason : fromServiceError(error, connection.address));
    });
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
  const { connection, options } = rpc;
  const { signal } = options;
  signal?.throwIfAborted();
  if (connection.openCalls >= MAX_STREAMS) throw tooManyStreams(connection.address);
  connection.openCalls += 1;
  const call = startStreamCall(rpc);
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
    connection.openCalls -= 1;
  }
}

/** Returns the metadata of a call. A forwarded call names its original caller. */
function createMetadata(
  { isForwarding }: GrpcConnection,
  { forwardedFor = "unknown" }: CallOptions,
): Metadata {
  const metadata = new Metadata();
  if (isForwarding) metadata.set(FORWARDED_KEY, forwardedFor);
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
