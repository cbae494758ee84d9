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

/** The connection of a client, and what all of its calls share. */
interface Caller {
  readonly client: Client;
  readonly address: string;
  readonly isForwarding: boolean;
  /** Calls in progress. Further calls would wait for one of them to end, so they fail. */
  openCalls: number;
}

type AnyClientStream =
  | ClientReadableStream<unknown>
  | ClientWritableStream<unknown>
  | ClientDuplexStream<unknown, unknown>;

/** Returns a typed client with one function per method. Calls fail with a BerthError, or with the signal's reason. */
export function createRpcClient<D extends RpcDefinition>(
  definition: D,
  options: RpcClientOptions,
): RpcConnection<D> {
  const [method] = Object.values(definition);
  const limits = limitsOf(method?.path ?? "");
  const client = new Client(options.address, channelCredentials(), clientOptions(limits));
  const isForwarding = options.forwarded === true;
  const caller: Caller = { client, address: options.address, isForwarding, openCalls: 0 };
  const calls = Object.fromEntries(
    Object.entries(definition).map(([name, method]) => [name, createCall(caller, method)]),
  );
  return { address: options.address, calls: calls as RpcClient<D>, close: () => client.close() };
}

function createCall(caller: Caller, method: RpcMethod): (input: never, options?: CallOptions) => unknown {
  if (method.responseStream) return (input, options = {}) => callForStream(caller, method, input, options);
  return (input, options = {}) => callOnce(caller, method, input, options);
}

function callOnce(caller: Caller, method: RpcMethod, input: unknown, options: CallOptions): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const { signal } = options;
    if (signal?.aborted) return reject(signal.reason);
    if (caller.openCalls >= MAX_STREAMS) return reject(tooManyStreams(caller.address));
    caller.openCalls += 1;
    const settle = (error: unknown, response: unknown): void => {
      caller.openCalls -= 1;
      signal?.removeEventListener("abort", cancel);
      if (error === null) resolve(response);
      else reject(signal?.aborted ? signal.reason : fromServiceError(error, caller.address));
    };
    const call = startOnce(caller, method, input, options, settle);
    const cancel = (): void => call.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
  });
}

/** Starts a call with one response. */
function startOnce(
  caller: Caller,
  method: RpcMethod,
  input: unknown,
  options: CallOptions,
  settle: (error: unknown, response: unknown) => void,
): { cancel: () => void } {
  const { path, requestSerialize, responseDeserialize } = method;
  const serialize = requestSerialize as (value: unknown) => Buffer;
  const { client } = caller;
  const metadata = createMetadata(caller, options);
  if (!method.requestStream) {
    const grpcOptions = { deadline: Date.now() + (options.timeoutMs ?? DEFAULT_TIMEOUT_MS) };
    return client.makeUnaryRequest(
      path,
      serialize,
      responseDeserialize,
      input,
      metadata,
      grpcOptions,
      settle,
    );
  }
  const call = client.makeClientStreamRequest(path, serialize, responseDeserialize, metadata, {}, settle);
  sendAll(call, input as AsyncIterable<unknown>);
  return call;
}

/** Yields the responses of a call. Cancels the call when the consumer stops early. */
async function* callForStream(
  caller: Caller,
  method: RpcMethod,
  input: unknown,
  options: CallOptions,
): AsyncGenerator<unknown> {
  const { signal } = options;
  signal?.throwIfAborted();
  if (caller.openCalls >= MAX_STREAMS) throw tooManyStreams(caller.address);
  caller.openCalls += 1;
  const call = startStream(caller, method, input, options);
  const cancel = (): void => call.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  // Without a listener, an error between two reads would end the process. The iterator reports the error.
  call.on("error", () => {});
  try {
    yield* readMessages(call);
  } catch (error) {
    throw signal?.aborted ? signal.reason : fromServiceError(error, caller.address);
  } finally {
    signal?.removeEventListener("abort", cancel);
    call.cancel();
    caller.openCalls -= 1;
  }
}

function createMetadata({ isForwarding }: Caller, { forwardedFor = "unknown" }: CallOptions): Metadata {
  const metadata = new Metadata();
  if (isForwarding) metadata.set(FORWARDED_KEY, forwardedFor);
  return metadata;
}

function startStream(
  caller: Caller,
  method: RpcMethod,
  input: unknown,
  options: CallOptions,
): ClientReadableStream<unknown> | ClientDuplexStream<unknown, unknown> {
  const { path, requestSerialize, responseDeserialize } = method;
  const serialize = requestSerialize as (value: unknown) => Buffer;
  const { client } = caller;
  const metadata = createMetadata(caller, options);
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
