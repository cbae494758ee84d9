import { BerthError } from "../errors.js";

const KIB = 1024;
const MIB = 1024 * KIB;

/** Largest message in each direction, in bytes. */
export interface MessageLimits {
  readonly request: number;
  readonly response: number;
  /**
   * Bytes that a client may have received and not read. More than the default is only for services whose clients send
   * little meanwhile (`flow-control.ts`). Default: 128 KiB.
   */
  readonly window?: number;
}

/**
 * Limits by service. The largest real messages are: a deployment of 1,000 services (a few MiB) with 20 secrets and configs
 * (10 MiB), a list of 100,000 tasks (40 MiB), a usage report with 100,000 tasks (3 MiB), a node's complete assignments
 * with the DNS entries of a large cluster (some 10 MiB) and secrets and configs (16 MiB).
 */
const SERVICE_LIMITS: Readonly<Record<string, MessageLimits>> = {
  "berth.v1.ControlService": { request: 16 * MIB, response: 64 * MIB },
  "berth.v1.DispatcherService": { request: 4 * MIB, response: 64 * MIB },
  // A response contains an image configuration or part of a layer.
  "berth.v1.ImageService": { request: KIB, response: 5 * MIB, window: 4 * MIB },
  "berth.v1.PeerService": { request: KIB, response: KIB },
};

/**
 * Limits of single methods. Callers without a certificate send a token, a certificate request and a host name. A secret or
 * config has at most 500 KiB, and the password of a registry 16 KiB. Agents send lines of logs in batches of 256 KiB, and
 * output as they read it.
 */
const METHOD_LIMITS: Readonly<Record<string, MessageLimits>> = {
  "/berth.v1.ControlService/Join": { request: 8 * KIB, response: 64 * MIB },
  "/berth.v1.ControlService/PutFile": { request: MIB, response: 64 * MIB },
  "/berth.v1.ControlService/PutRegistryLogin": { request: 64 * KIB, response: 64 * MIB },
  "/berth.v1.DispatcherService/PushLogs": { request: MIB, response: KIB },
  "/berth.v1.DispatcherService/PushExec": { request: MIB, response: 64 * MIB },
};

/** Maximum size of a request to any service. A server rejects a larger one before it has received all of it. */
export const MAX_REQUEST_BYTES = Math.max(...Object.values(SERVICE_LIMITS).map(({ request }) => request));

/** Maximum size of a response of any service. */
export const MAX_RESPONSE_BYTES = Math.max(...Object.values(SERVICE_LIMITS).map(({ response }) => response));

/**
 * Maximum number of streams that a client may have open on one connection. An agent needs a session and a stream for
 * each log and exec, of which there are at most 500. A follower forwards the calls of all its clients over one
 * connection.
 */
export const MAX_STREAMS = 1_024;

/**
 * Maximum number of streams that a server allows on one connection. A client counts a stream as closed before the
 * server has closed it, so the server allows more than the client opens.
 */
export const MAX_SERVER_STREAMS = MAX_STREAMS + 128;

/** Memory of one connection from which on Node.js accepts no further stream: several of the largest messages. */
export const MAX_SESSION_MEMORY_MB = 256;

/**
 * Returns the limits of a method.
 *
 * @throws Error for a service without limits, which is a bug
 */
export function limitsOf(path: string): MessageLimits {
  const limits = METHOD_LIMITS[path] ?? SERVICE_LIMITS[path.split("/")[1] ?? ""];
  if (limits === undefined) throw new Error(`no message limits for ${path}`);
  return limits;
}

export function tooManyStreamsError(address: string): BerthError {
  return new BerthError({
    code: "BERTH_LIMIT_EXCEEDED",
    message: `cannot call ${address}: ${MAX_STREAMS} calls are open on this connection; wait until some of them end`,
  });
}
