import { setMaxListeners } from "node:events";
import { BerthError, isBerthError } from "@berth/proto";
import type {
  CallContext,
  Caller,
  CallOptions,
  ConnectOptions,
  RpcClient,
  RpcConnection,
  RpcDefinition,
  RpcMethod,
  RpcServer,
  RpcService,
  RpcTransport,
  ServeOptions,
} from "@berth/proto/rpc";
import type { Actor } from "../simulator/actor.js";
import { MessageQueue } from "./message-queue.js";
import type { Network } from "./network.js";
import { type Accept, type IncomingCall, openCall, unreachableError } from "./open-call.js";

const DEFAULT_TIMEOUT_MS = 10_000;

export interface SimTransportOptions {
  readonly network: Network;
  /** The program whose end this is. */
  readonly actor: Actor;
  /** The caller of this program's calls. */
  readonly caller: Caller;
  /** A handler threw something that is not a BerthError. */
  readonly onBug: (where: string, error: unknown) => void;
  /** Every message that arrives, for the trace. */
  readonly onMessage: (to: Actor, path: string, bytes: Buffer) => void;
}

/**
 * gRPC's calls over the simulated network: one connection for each call, messages as bytes. There are no certificates:
 * servers know the caller of each call, and admit it.
 */
export function simTransport(options: SimTransportOptions): RpcTransport {
  return {
    serve: async (server) => serve(options, server),
    connect: (definition, client) => connect(options, definition, client),
    // Nodes of the simulation have no images.
    download: async () => false,
  };
}

function serve({ network, actor, onBug }: SimTransportOptions, options: ServeOptions): RpcServer {
  const { address } = options;
  const closing = new AbortController();
  // All calls that are open hear of it.
  setMaxListeners(0, closing.signal);
  const accept: Accept = (call) => {
    for (const service of options.services) {
      const name = Object.keys(service.definition).find((key) => service.definition[key]?.path === call.path);
      if (name !== undefined) return void answer(service, name, call, { closing: closing.signal, onBug });
    }
    call.end(new Error(`no method ${call.path}`));
  };
  network.listeners.set(address, { actor, accept });
  actor.onKill(() => network.listeners.delete(address));
  return {
    address,
    close: async () => {
      network.listeners.delete(address);
      closing.abort();
    },
  };
}

async function answer(
  { definition, handlers }: RpcService,
  name: string,
  call: IncomingCall,
  { closing, onBug }: { readonly closing: AbortSignal; readonly onBug: SimTransportOptions["onBug"] },
): Promise<void> {
  const method = definition[name];
  const handler = handlers[name];
  if (method === undefined || handler === undefined) return;
  const over = new AbortController();
  const close = (): void =>
    over.abort(new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message: "the server is shutting down" }));
  closing.addEventListener("abort", close, { once: true });
  call.signal.addEventListener("abort", () => over.abort(call.signal.reason), { once: true });
  const context: CallContext = {
    signal: over.signal,
    peer: call.peer,
    client: call.peer,
    caller: call.caller,
    forwarded: call.forwarded,
  };
  const serialize = method.responseSerialize as (value: unknown) => Buffer;
  try {
    const input = method.requestStream ? decoded(call.requests, method) : await first(call.requests, method);
    const output = handler(input, context);
    if (!method.responseStream) await call.respond(serialize(await output));
    else
      await sendAll(output as AsyncIterable<unknown>, over.signal, (value) => call.respond(serialize(value)));
    call.end(undefined);
  } catch (error) {
    if (!isBerthError(error) && !over.signal.aborted) onBug(method.path, error);
    call.end(error);
  } finally {
    closing.removeEventListener("abort", close);
  }
}

async function* decoded(requests: MessageQueue<Buffer>, method: RpcMethod): AsyncGenerator<unknown> {
  for await (const bytes of requests) yield method.requestDeserialize(bytes);
}

async function first(requests: MessageQueue<Buffer>, method: RpcMethod): Promise<unknown> {
  for await (const bytes of requests) return method.requestDeserialize(bytes);
  throw new BerthError({ code: "BERTH_CANCELLED", message: "the caller disconnected" });
}

/** Sends messages until they or the call end. The producer is notified, but not awaited. */
async function sendAll(
  messages: AsyncIterable<unknown>,
  signal: AbortSignal,
  send: (value: unknown) => Promise<void>,
): Promise<void> {
  const iterator = messages[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await unlessAborted(iterator.next(), signal);
      if (next.done) return;
      await unlessAborted(send(next.value), signal);
    }
  } finally {
    void iterator.return?.()?.catch(() => {});
  }
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

function connect<D extends RpcDefinition>(
  options: SimTransportOptions,
  definition: D,
  client: ConnectOptions,
): RpcConnection<D> {
  const closed = new AbortController();
  setMaxListeners(0, closed.signal);
  const calls = Object.fromEntries(
    Object.entries(definition).map(([name, method]) => {
      const call = (input: unknown, callOptions: CallOptions = {}): unknown => {
        const outgoing = { method, input, client, closed: closed.signal, ...callOptions };
        return method.responseStream ? callForStream(options, outgoing) : callOnce(options, outgoing);
      };
      return [name, call];
    }),
  );
  return {
    address: client.address,
    calls: calls as RpcClient<D>,
    connect: () => {},
    close: () => closed.abort(unreachableError(client.address, "the connection was closed")),
  };
}

interface OutgoingCall extends CallOptions {
  readonly method: RpcMethod;
  readonly input: unknown;
  readonly client: ConnectOptions;
  readonly closed: AbortSignal;
}

async function callOnce(options: SimTransportOptions, call: OutgoingCall): Promise<unknown> {
  const deadline = new AbortController();
  const timer = setTimeout(() => {
    const message = `berth server at ${call.client.address} did not respond in time`;
    deadline.abort(new BerthError({ code: "BERTH_DEADLINE", message }));
  }, call.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  try {
    for await (const response of exchange(options, call, deadline.signal)) return response;
    throw unreachableError(call.client.address, "no answer");
  } finally {
    clearTimeout(timer);
  }
}

function callForStream(options: SimTransportOptions, call: OutgoingCall): AsyncGenerator<unknown> {
  return exchange(options, call, undefined);
}

/** One call, as seen by the client. */
async function* exchange(
  { network, actor, caller, onMessage }: SimTransportOptions,
  { method, input, client, closed, signal, forwardedFor }: OutgoingCall,
  deadline: AbortSignal | undefined,
): AsyncGenerator<unknown> {
  signal?.throwIfAborted();
  const { address, forwarded = false } = client;
  const responses = new MessageQueue<Buffer>();
  const over = new AbortController();
  const fail = (error: Error): void => {
    over.abort(error);
    responses.end(error);
  };
  const stops = [signal, closed, deadline].flatMap((each) => {
    if (each === undefined) return [];
    const stop = (): void => fail(each.reason);
    each.addEventListener("abort", stop, { once: true });
    return [() => each.removeEventListener("abort", stop)];
  });
  const request = openCall({
    network,
    actor,
    address,
    path: method.path,
    forwarded,
    caller: forwardedFor?.caller ?? caller,
    responses,
    fail,
    onMessage,
  });
  const serialize = method.requestSerialize as (value: unknown) => Buffer;
  const messages = method.requestStream ? (input as AsyncIterable<unknown>) : only(input);
  sendAll(messages, over.signal, (value) => request.send(serialize(value))).then(
    () => request.end(),
    () => request.cancel(),
  );
  try {
    for await (const bytes of responses) yield method.responseDeserialize(bytes);
  } finally {
    for (const stop of stops) stop();
    over.abort(new BerthError({ code: "BERTH_CANCELLED", message: "the call is over" }));
    request.cancel();
  }
}

async function* only(value: unknown): AsyncGenerator<unknown> {
  yield value;
}
