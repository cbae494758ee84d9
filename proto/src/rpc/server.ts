import { setMaxListeners } from "node:events";
import {
  Server,
  type ServerDuplexStream,
  type ServerInterceptor,
  type ServerUnaryCall,
  type sendUnaryData,
  type UntypedHandleCall,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { assertNever } from "../assert-never.js";
import { BerthError, isBerthError } from "../errors.js";
import { listenError } from "../listen-error.js";
import { type RpcSecurity, requirePermissionEntries } from "./authorization.js";
import { type Admission, CallGate } from "./call-gate.js";
import { CallScheduler, type ScheduledCall } from "./call-scheduler.js";
import { localVersionInterceptor } from "./call-version.js";
import { callerKey, LOCAL_USER } from "./caller.js";
import { SERVER_OPTIONS } from "./channel-options.js";
import { DownloadServer, type DownloadService } from "./download-server.js";
import { setCallWindow, setConnectionWindow } from "./flow-control.js";
import { allowHeapGrowth } from "./heap-growth.js";
import { requestSizeInterceptor } from "./request-size.js";
import { toStatus } from "./status.js";
import { createAbortRace, forEachMessage, readMessages } from "./streams.js";
import { closeStuckConnections } from "./stuck-connections.js";
import type { HttpAcceptor } from "./tls-listener.js";
import type { CallContext, RpcDefinition, RpcHandlers, RpcMethod } from "./types.js";
import { listenUnix, unixAddress } from "./unix-socket.js";

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

/** Address at which a server listens, with the rules for its callers. */
export type RpcListener =
  | {
      readonly kind: "tcp";
      /** "host:port"; port 0 picks a free one. */
      readonly address: string;
      readonly security: RpcSecurity;
    }
  /** A socket that only the user of this process can open. Its callers count as the local user. */
  | { readonly kind: "unix"; readonly path: string };

export interface RpcServerOptions {
  readonly listener: RpcListener;
  readonly services: readonly RpcService[];
  /** Content for downloads over TCP. */
  readonly downloads?: DownloadService;
  /** Serves HTTP/1.1 on the same TCP port. */
  readonly http?: HttpAcceptor;
  /** Called with errors that are not BerthErrors, which are bugs. They never end the process. */
  readonly onInternalError?: (path: string, error: unknown) => void;
}

export interface RpcServer {
  /** "host:port" with the actual port, or "unix:/path". */
  readonly address: string;
  /** Aborts the signals of running calls, waits up to `graceMs` for the calls to end, and closes all connections. */
  close(graceMs: number): Promise<void>;
}

/**
 * Starts a gRPC server.
 *
 * @throws BerthError BERTH_ADDRESS_IN_USE if it cannot listen on the address
 * @throws Error if a method has no permissions, which is a bug
 */
export async function startRpcServer(options: RpcServerOptions): Promise<RpcServer> {
  const { listener, services, onInternalError = () => {} } = options;
  if (listener.kind === "tcp") {
    for (const { definition } of services) {
      requirePermissionEntries(definition, listener.security.permissions);
    }
  }
  const endpoint = openEndpoint(options);
  const { interceptors, admissionOf } = endpoint;
  const server = new Server({ ...SERVER_OPTIONS, interceptors: [requestSizeInterceptor, ...interceptors] });
  setCallWindow(server);
  const closing = new AbortController();
  // Every running call adds a listener, so Node's warning about listener leaks does not apply.
  setMaxListeners(0, closing.signal);
  const environment: CallEnvironment = {
    closing: closing.signal,
    admissionOf,
    scheduler: new CallScheduler(),
    onInternalError,
  };
  for (const service of services) {
    server.addService(passEncoded(service.definition) as never, implementService(service, environment));
  }
  const bound = await listen(endpoint, server);
  setConnectionWindow(server);
  const close = async (graceMs: number): Promise<void> => {
    bound.close();
    await shutDown(server, closing, graceMs);
  };
  return { address: bound.address, close };
}

/** Returns the definition for handlers whose responses are encoded. */
function passEncoded(definition: RpcDefinition): RpcDefinition {
  const entries = Object.entries(definition).map(([name, method]) => {
    return [name, { ...method, responseSerialize: (bytes: Buffer) => bytes }] as const;
  });
  return Object.fromEntries(entries);
}

/** State that all calls of a server share. */
interface CallEnvironment {
  readonly closing: AbortSignal;
  readonly admissionOf: Endpoint["admissionOf"];
  readonly scheduler: CallScheduler;
  readonly onInternalError: (path: string, error: unknown) => void;
}

function implementService(service: RpcService, environment: CallEnvironment): UntypedServiceImplementation {
  const entries = Object.entries(service.definition).map(([name, method]) => {
    const handler = service.handlers[name];
    if (handler === undefined) throw new Error(`no handler for ${method.path}`);
    return [name, adaptHandler(method, handler, environment)] as const;
  });
  return Object.fromEntries(entries);
}

/** Adapts an async handler for grpc-js: waits for its result, and maps errors that it throws to a gRPC status. */
function adaptHandler(
  method: RpcMethod,
  handler: AnyHandler,
  { closing, admissionOf, scheduler, onInternalError }: CallEnvironment,
): UntypedHandleCall {
  return (call: AnyCall, callback?: sendUnaryData<unknown>): void => {
    const admission = admissionOf(call);
    const { context, dispose } = createContext(call, closing, admission);
    const scheduled = scheduler.open(callerKey(admission.caller, admission.client));
    const target = { method, handler, context, callback, scheduled, callerEnded: admission.ended };
    const endHeapGrowth = method.carriesChunks ? allowHeapGrowth() : undefined;
    // Emitted at the end of each call.
    call.once("cancelled", () => {
      scheduled.close();
      dispose();
      endHeapGrowth?.();
    });
    scheduled.start(() => {
      respond(call, target).catch((error: unknown) => {
        if (!(error instanceof BerthError) && !context.signal.aborted) onInternalError(method.path, error);
        // The handler may throw any error when its signal aborts. The expiry of the caller's certificate is the cause.
        const failure = toStatus(admission.ended?.aborted ? admission.ended.reason : error);
        if (callback === undefined) {
          call.emit("error", failure);
        } else {
          callback(failure);
        }
      });
    });
  };
}

interface CallTarget {
  readonly method: RpcMethod;
  readonly handler: AnyHandler;
  readonly context: CallContext;
  /** Takes the response of a call that is not a response stream. */
  readonly callback: sendUnaryData<unknown> | undefined;
  readonly scheduled: ScheduledCall;
  /** Aborts when the caller's certificate is no longer accepted. */
  readonly callerEnded: AbortSignal | undefined;
}

/** Runs the handler and sends its response or its stream of responses. */
async function respond(call: AnyCall, target: CallTarget): Promise<void> {
  const { method, handler, context, callback, scheduled, callerEnded } = target;
  const { signal } = context;
  const encode = (response: unknown): Promise<Buffer> =>
    scheduled.encode(() => method.responseSerialize(response as never), signal);
  const output = handler(method.requestStream ? readMessages(call) : call.request, context);
  if (!method.responseStream) {
    callback?.(null, await encode(await settleBefore(callerEnded, output as Promise<unknown>)));
    return;
  }
  const write = async (response: unknown): Promise<void> => {
    const bytes = await encode(response);
    call.write(bytes, () => scheduled.recordSent(bytes.length));
    await scheduled.untilRoom(signal);
  };
  await forEachMessage(output as AsyncIterable<unknown>, write, signal);
  call.end();
}

/** Returns the result, or throws the signal's reason when it aborts first: the handler may not watch its signal. */
async function settleBefore(signal: AbortSignal | undefined, result: Promise<unknown>): Promise<unknown> {
  if (signal === undefined) return result;
  const abortRace = createAbortRace(signal);
  try {
    return await abortRace.race(result);
  } finally {
    abortRace.dispose();
  }
}

/** Creates the context of a call, whose signal aborts when the call should end. */
function createContext(
  call: AnyCall,
  closing: AbortSignal,
  { caller, client, isForwarded, ended }: Admission,
): { context: CallContext; dispose: () => void } {
  const controller = new AbortController();
  const cancel = (): void =>
    controller.abort(new BerthError({ code: "BERTH_CANCELLED", message: "the caller disconnected" }));
  const close = (): void =>
    controller.abort(
      new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message: "the server is shutting down" }),
    );
  const endCaller = (): void => controller.abort(ended?.reason);
  call.on("cancelled", cancel);
  closing.addEventListener("abort", close, { once: true });
  ended?.addEventListener("abort", endCaller, { once: true });
  if (closing.aborted) close();
  if (ended?.aborted) endCaller();
  const dispose = (): void => {
    closing.removeEventListener("abort", close);
    ended?.removeEventListener("abort", endCaller);
  };
  const { signal } = controller;
  return { context: { signal, peer: call.getPeer(), client, caller, forwarded: isForwarded }, dispose };
}

/** A listener and the callers that it admits. */
interface Endpoint {
  readonly address: string;
  readonly interceptors: ServerInterceptor[];
  /** Returns the caller of a call that was allowed. */
  readonly admissionOf: (call: AnyCall) => Admission;
  /** Starts to listen, and passes connections to the server. */
  readonly listen: (server: Server) => Promise<BoundListener>;
}

interface BoundListener {
  /** The actual address. */
  readonly address: string;
  /** Stops listening. Established connections stay. */
  close(): void;
}

function openEndpoint({ listener, ...content }: RpcServerOptions): Endpoint {
  switch (listener.kind) {
    case "tcp":
      return tlsEndpoint(listener.address, listener.security, content);
    case "unix":
      return unixEndpoint(listener.path);
    default:
      return assertNever(listener);
  }
}

function tlsEndpoint(
  address: string,
  security: RpcSecurity,
  { downloads: service, http }: Pick<RpcServerOptions, "downloads" | "http">,
): Endpoint {
  const gate = new CallGate(security);
  const downloads =
    service && new DownloadServer(service, (socket) => gate.authorize(socket, service.method));
  return {
    address,
    interceptors: [gate.interceptor],
    admissionOf: ({ metadata }) => gate.admissionOf(metadata),
    listen: async (server) => {
      const listener = await gate.listen(server, address, { downloads, http });
      const endChecks = closeStuckConnections(server, (addresses) => gate.closeConnection(addresses));
      const close = (): void => {
        endChecks();
        listener.close();
        downloads?.close();
        http?.close();
      };
      return { address: `${address.slice(0, address.lastIndexOf(":"))}:${listener.port}`, close };
    },
  };
}

function unixEndpoint(path: string): Endpoint {
  const address = unixAddress(path);
  const admission: Admission = {
    caller: LOCAL_USER,
    client: "the server's host",
    isForwarded: false,
    ended: undefined,
  };
  return {
    address,
    interceptors: [localVersionInterceptor],
    admissionOf: () => admission,
    listen: async (server) => {
      // grpc-js stops listening when the server shuts down.
      return { address, close: await listenUnix(server, path) };
    },
  };
}

async function listen(endpoint: Endpoint, server: Server): Promise<BoundListener> {
  try {
    return await endpoint.listen(server);
  } catch (error) {
    if (isBerthError(error)) throw error;
    throw listenError({ address: endpoint.address, advice: "choose another address", cause: error });
  }
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
