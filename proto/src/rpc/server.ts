import { setMaxListeners } from "node:events";
import {
  Server,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
  type UntypedHandleCall,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { BerthError } from "../errors.js";
import { FORWARDED_KEY, SERVER_OPTIONS } from "./channel-options.js";
import { serverCredentials } from "./credentials.js";
import { limitsOf, OversizedRequest } from "./limits.js";
import { toStatus } from "./status.js";
import { readMessages, writeMessages } from "./streams.js";
import type { CallContext, RpcDefinition, RpcHandlers, RpcMethod } from "./types.js";

/** Any of the four kinds of call. The method's definition determines which parts exist. */
type AnyCall = ServerDuplexStream<unknown, unknown> &
  Partial<Pick<ServerUnaryCall<unknown, unknown>, "request">>;

/** A handler of any method. `rpcService` checks the types. */
type AnyHandler = (input: unknown, context: CallContext) => Promise<unknown> | AsyncIterable<unknown>;

/** A service with its handlers, ready for `startRpcServer`. */
export interface RpcService {
  readonly definition: RpcDefinition;
  readonly handlers: Readonly<Record<string, AnyHandler>>;
}

/** Combines handlers with a generated definition. The compiler checks that every method has a handler. */
export function rpcService<D extends RpcDefinition>(definition: D, handlers: RpcHandlers<D>): RpcService {
  return { definition, handlers: handlers as unknown as Record<string, AnyHandler> };
}

export interface RpcServerOptions {
  /** "host:port"; port 0 picks a free one. */
  readonly listen: string;
  readonly services: readonly RpcService[];
  /** Called with errors that are not BerthErrors, which are bugs. They never end the process. */
  readonly onInternalError?: (path: string, error: unknown) => void;
}

export interface RpcServer {
  /** "host:port" with the actual port. */
  readonly address: string;
  /** Aborts the signals of running calls, waits up to `graceMs` for the calls to end, and closes all connections. */
  close(graceMs: number): Promise<void>;
}

/** Starts a gRPC server. @throws BerthError BERTH_ADDRESS_IN_USE when it cannot listen on the address */
export async function startRpcServer(options: RpcServerOptions): Promise<RpcServer> {
  const server = new Server(SERVER_OPTIONS);
  const closing = new AbortController();
  // Every running call adds a listener, so Node's warning about listener leaks does not apply.
  setMaxListeners(0, closing.signal);
  const onInternalError = options.onInternalError ?? (() => {});
  for (const service of options.services) {
    server.addService(
      limitRequests(service.definition) as never,
      implementService(service, closing.signal, onInternalError),
    );
  }
  const port = await bind(server, options.listen);
  const host = options.listen.slice(0, options.listen.lastIndexOf(":"));
  return { address: `${host}:${port}`, close: (graceMs) => shutDown(server, closing, graceMs) };
}

/** Returns the definition with a limit for the size of requests. */
function limitRequests(definition: RpcDefinition): RpcDefinition {
  const entries = Object.entries(definition).map(([name, method]) => {
    const { path, requestDeserialize } = method;
    const { request: maxBytes } = limitsOf(path);
    const deserialize = (bytes: Buffer): unknown =>
      bytes.length > maxBytes ? new OversizedRequest(path, bytes.length) : requestDeserialize(bytes);
    return [name, { ...method, requestDeserialize: deserialize }] as const;
  });
  return Object.fromEntries(entries);
}

function implementService(
  service: RpcService,
  closing: AbortSignal,
  onInternalError: (path: string, error: unknown) => void,
): UntypedServiceImplementation {
  const entries = Object.entries(service.definition).map(([name, method]) => {
    const handler = service.handlers[name];
    if (handler === undefined) throw new Error(`no handler for ${method.path}`);
    return [name, adaptHandler(method, handler, closing, onInternalError)] as const;
  });
  return Object.fromEntries(entries);
}

/** Adapts an async handler for grpc-js: waits for its result, and maps errors that it throws to a gRPC status. */
function adaptHandler(
  method: RpcMethod,
  handler: AnyHandler,
  closing: AbortSignal,
  onInternalError: (path: string, error: unknown) => void,
): UntypedHandleCall {
  return (call: AnyCall, callback?: sendUnaryData<unknown>): void => {
    const { context, dispose } = createContext(call, closing);
    respond(call, { method, handler, context, callback })
      .catch((error: unknown) => {
        if (!(error instanceof BerthError) && !context.signal.aborted) onInternalError(method.path, error);
        const failure = toStatus(error);
        if (callback === undefined) call.emit("error", failure);
        else callback(failure);
      })
      .finally(dispose);
  };
}

interface CallTarget {
  readonly method: RpcMethod;
  readonly handler: AnyHandler;
  readonly context: CallContext;
  /** Takes the response of a call that is not a response stream. */
  readonly callback: sendUnaryData<unknown> | undefined;
}

/** Runs the handler and sends its response or its stream of responses. */
async function respond(call: AnyCall, { method, handler, context, callback }: CallTarget): Promise<void> {
  const input = method.requestStream ? readRequests(call) : requireWithinLimit(call.request);
  const output = handler(input, context);
  if (!method.responseStream) {
    callback?.(null, await output);
    return;
  }
  await writeMessages(call, output as AsyncIterable<unknown>, context.signal);
  call.end();
}

async function* readRequests(call: AnyCall): AsyncGenerator<unknown> {
  for await (const request of readMessages(call)) yield requireWithinLimit(request);
}

/** Returns the request. @throws BerthError BERTH_LIMIT_EXCEEDED when it is too large */
function requireWithinLimit(request: unknown): unknown {
  if (request instanceof OversizedRequest) throw request.toError();
  return request;
}

/** Creates the context of a call, whose signal aborts when the caller disconnects or the server closes. */
function createContext(call: AnyCall, closing: AbortSignal): { context: CallContext; dispose: () => void } {
  const controller = new AbortController();
  const cancel = (): void =>
    controller.abort(new BerthError({ code: "BERTH_CANCELLED", message: "the caller disconnected" }));
  const close = (): void =>
    controller.abort(
      new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message: "the server is shutting down" }),
    );
  call.on("cancelled", cancel);
  closing.addEventListener("abort", close, { once: true });
  if (closing.aborted) close();
  const peer = call.getPeer();
  const [forwardedFor] = call.metadata.get(FORWARDED_KEY);
  const client = forwardedFor === undefined ? peer : String(forwardedFor);
  const context = { signal: controller.signal, peer, client, forwarded: forwardedFor !== undefined };
  return { context, dispose: () => closing.removeEventListener("abort", close) };
}

function bind(server: Server, listen: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(listen, serverCredentials(), (error, port) => {
      if (error === null) return resolve(port);
      reject(
        new BerthError({
          code: "BERTH_ADDRESS_IN_USE",
          message: `cannot listen on ${listen}: ${findSystemError(error.message)}; the port may be in use, or the address may not belong to this host`,
          cause: error,
        }),
      );
    });
  });
}

/** Extracts the system's error from a grpc-js message, which has it at the end in brackets. */
function findSystemError(message: string): string {
  return /\[(.+)\]$/.exec(message)?.[1] ?? message;
}

/** Aborts all calls, and waits up to `graceMs` for them to end. */
function shutDown(server: Server, closing: AbortController, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    // tryShutdown waits for open streams without a limit, so they are aborted after `graceMs`.
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, graceMs);
    closing.abort();
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
