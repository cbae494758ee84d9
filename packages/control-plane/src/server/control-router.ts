import { BerthError, ControlServiceService, isBerthError } from "@berth/proto";
import {
  type CallContext,
  encodeResponsesOnce,
  forwardService,
  preserveReceived,
  type RpcClient,
  type RpcConnection,
  type RpcHandlers,
  type RpcTransport,
} from "@berth/proto/rpc";
import { linkSignals } from "../runtime/abort.js";
import { type Clock, sleep } from "../runtime/clock.js";
import { noLeaderError } from "../runtime/leader-errors.js";
import type { LeadershipState, Route } from "./leadership-state.js";

/**
 * Maximum time for which a call waits for a leader: at its start, and after it has lost one. During a failover, callers
 * thus get a slow response instead of an error.
 */
const MAX_WAIT_MS = 5_000;

/** Pause before a call is retried with the next leader. */
const RETRY_MS = 100;

/** Definition of the service that servers forward. All watchers of the cluster receive the same encoded updates. */
export const FORWARDED_CONTROL = encodeResponsesOnce(preserveReceived(ControlServiceService), "watchCluster");

type Control = typeof ControlServiceService;
type Handlers = RpcHandlers<Control>;
type Method = (input: never, context: CallContext) => Promise<unknown> | AsyncIterable<unknown>;

export interface ControlRouterOptions {
  readonly leadership: LeadershipState;
  readonly clock: Clock;
  readonly transport: RpcTransport;
}

/** The Control service of one server. */
export interface ControlRouter {
  readonly handlers: Handlers;
  /** Closes the connection to the leader. */
  close(): void;
}

/**
 * Returns the Control service of any server. The leader handles calls, and every other server forwards them to the
 * leader.
 *
 * A call that fails because the leader has changed is retried with the next leader. A call with a request stream is not
 * retried, because the stream can be read only once.
 */
export function routeControlService({ leadership, clock, transport }: ControlRouterOptions): ControlRouter {
  const leader = createLeaderConnection(leadership, transport);
  const forward = forwardService(FORWARDED_CONTROL, async () => leader.calls());
  const router: RoutingContext = { leadership, clock, forward };
  const entries = Object.entries(FORWARDED_CONTROL).map(([name, method]) => {
    return [name, createMethod(router, name as keyof Control, method)] as const;
  });
  return {
    // The entries have the names of all methods, but TypeScript cannot derive the type of each handler.
    handlers: Object.fromEntries(entries) as unknown as Handlers,
    close: () => leader.close(),
  };
}

interface RoutingContext {
  readonly leadership: LeadershipState;
  readonly clock: Clock;
  /** Handlers that forward calls to the leader. */
  readonly forward: Handlers;
}

function createMethod(router: RoutingContext, name: keyof Control, method: Control[keyof Control]): Method {
  if (method.requestStream) return (input, context) => callClientStreaming(router, name, input, context);
  if (method.responseStream) return (input, context) => callServerStreaming(router, name, input, context);
  return (input, context) => callUnary(router, name, input, context);
}

/** Calls a method with a request stream, without a retry. */
async function* callClientStreaming(
  router: RoutingContext,
  name: keyof Control,
  input: never,
  context: CallContext,
): AsyncGenerator<unknown> {
  const route = await findRoute(router, router.clock.nowMs() + MAX_WAIT_MS, context);
  yield* findMethod(router, name, route)(input, context) as AsyncIterable<unknown>;
}

/** Calls a method with one request and one response. */
async function callUnary(
  router: RoutingContext,
  name: keyof Control,
  input: never,
  context: CallContext,
): Promise<unknown> {
  const wait = new LeaderWait(router.clock);
  for (;;) {
    const route = await findRoute(router, wait.deadlineMs, context);
    const bound = bindToLeader(router, route, context);
    try {
      return await findMethod(router, name, route)(input, bound.context);
    } catch (error) {
      await wait.pauseBeforeRetry(error, route, context);
    } finally {
      bound.release();
    }
  }
}

/** Calls a method with a response stream. It is not retried once the caller has received a response. */
async function* callServerStreaming(
  router: RoutingContext,
  name: keyof Control,
  input: never,
  context: CallContext,
): AsyncGenerator<unknown> {
  const wait = new LeaderWait(router.clock);
  for (let hasResponse = false; ; ) {
    const route = await findRoute(router, wait.deadlineMs, context);
    const bound = bindToLeader(router, route, context);
    try {
      const responses = findMethod(router, name, route)(input, bound.context) as AsyncIterable<unknown>;
      for await (const response of responses) {
        hasResponse = true;
        yield response;
      }
      return;
    } catch (error) {
      if (hasResponse) throw error;
      await wait.pauseBeforeRetry(error, route, context);
    } finally {
      bound.release();
    }
  }
}

function findMethod(router: RoutingContext, name: keyof Control, route: Route): Method {
  const handlers = route.kind === "local" ? route.leader.control : router.forward;
  return handlers[name] as Method;
}

async function findRoute(
  { leadership, clock }: RoutingContext,
  deadlineMs: number,
  { signal, forwarded }: CallContext,
): Promise<Route> {
  const route = await leadership.waitForRoute(Math.max(0, deadlineMs - clock.nowMs()), signal);
  // Forwarding a forwarded call could loop: the server that forwarded it saw this server as the leader.
  if (forwarded && route.kind === "remote") throw noLeaderError();
  return route;
}

/**
 * Limits the time for which one call waits for a leader: {@link MAX_WAIT_MS} from its start, and again from the moment
 * when it first loses a leader.
 */
class LeaderWait {
  readonly #clock: Clock;
  #deadlineMs: number;
  #hasLostLeader = false;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#deadlineMs = clock.nowMs() + MAX_WAIT_MS;
  }

  get deadlineMs(): number {
    return this.#deadlineMs;
  }

  /**
   * Pauses after a failed attempt.
   *
   * @throws the error, if it has another cause than a leader change, or at the deadline
   */
  async pauseBeforeRetry(error: unknown, route: Route, { signal, forwarded }: CallContext): Promise<void> {
    const isUnreachable = isBerthError(error, "BERTH_SERVER_UNREACHABLE");
    const hasLeaderChanged =
      isUnreachable || isBerthError(error, "BERTH_NOT_LEADER") || isBerthError(error, "BERTH_NO_LEADER");
    if (!hasLeaderChanged || forwarded) throw error;
    const nowMs = this.#clock.nowMs();
    if (!this.#hasLostLeader) {
      this.#hasLostLeader = true;
      this.#deadlineMs = nowMs + MAX_WAIT_MS;
    }
    if (nowMs + RETRY_MS > this.#deadlineMs) {
      throw isUnreachable && route.kind === "remote" ? leaderLostError(route.address, error) : error;
    }
    await sleep(this.#clock, RETRY_MS, signal);
    signal.throwIfAborted();
  }
}

/** The context of a call that is routed to a leader. */
interface BoundContext {
  readonly context: CallContext;
  /** Stops watching the route. */
  release(): void;
}

/**
 * Returns the context of a forwarded call, whose signal also aborts when the leader is lost. A leader whose host has lost
 * power cannot close the connection.
 */
function bindToLeader({ leadership }: RoutingContext, route: Route, context: CallContext): BoundContext {
  if (route.kind === "local") return { context, release: () => {} };
  const { address } = route;
  const link = linkSignals(context.signal);
  const stopWatching = leadership.onRouteLost(address, () => link.abort(leaderLostError(address)));
  const release = (): void => {
    stopWatching();
    link.unlink();
  };
  return { context: { ...context, signal: link.signal }, release };
}

interface LeaderConnection {
  /** @throws BerthError BERTH_NO_LEADER if no other server leads */
  calls(): RpcClient<Control>;
  close(): void;
}

/** Keeps one connection to the leader, and replaces it when another server leads. */
function createLeaderConnection(leadership: LeadershipState, transport: RpcTransport): LeaderConnection {
  let connection: RpcConnection<Control> | undefined;
  return {
    calls: () => {
      const { route } = leadership;
      if (route?.kind !== "remote") throw noLeaderError();
      if (connection?.address !== route.address) {
        connection?.close();
        connection = transport.connect(FORWARDED_CONTROL, { address: route.address, forwarded: true });
      }
      return connection.calls;
    },
    close: () => connection?.close(),
  };
}

function leaderLostError(leader: string, cause?: unknown): BerthError {
  return new BerthError({
    code: "BERTH_SERVER_UNREACHABLE",
    message: `lost connection to the leader at ${leader}, and no other server leads yet; try again`,
    details: { leader },
    ...(cause !== undefined && { cause }),
  });
}
