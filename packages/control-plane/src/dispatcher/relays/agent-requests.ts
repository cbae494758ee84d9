import { BerthError } from "@berth/proto";
import type { Caller } from "@berth/proto/rpc";
import { onAbort } from "../../runtime/abort.js";
import type { Runtime } from "../../runtime/runtime.js";
import { GroupedMap } from "../../state/grouped-map.js";
import type { AgentCommand, Session } from "../session.js";

/** Timeout for the agent's stream. The agent opens the stream and sends the first message before it calls Docker. */
export const STREAM_TIMEOUT_MS = 5_000;

export interface AgentRequestsOptions extends RelayOptions {
  /** Limit of open requests on one node, as many as its agent accepts. */
  readonly capacity: number;
  /** Limit of open requests of one client, on all nodes together. @default no limit */
  readonly perClient?: number;
}

/** The node of a request, and the client that it is made for. */
export interface RequestTarget {
  readonly nodeId: string;
  /** The caller that the request is made for, as `callerKey` returns it. */
  readonly client: string;
}

export interface RelayOptions {
  readonly runtime: Runtime;
  /** Returns the session of a node's agent, or undefined if the node cannot be reached. */
  readonly sessionOf: (nodeId: string) => Session | undefined;
}

/** Receiver of the result that an agent's stream delivers for one request. */
export interface ResultSink {
  /** Whether the result is complete or has failed. */
  readonly isEnded: boolean;
  /** Whether the leader must stop the request on the agent when the caller leaves. */
  readonly needsStop: boolean;
  /** Called when the result ends. May be called several times. */
  onEnded: () => void;
  /** Ends the result, with an error when it is incomplete. */
  end(error?: BerthError): void;
}

/** The commands that start and stop one request on the agent. */
export interface RequestCommands {
  readonly start: (requestId: string) => AgentCommand;
  readonly stop: (requestId: string) => AgentCommand;
}

interface UnclaimedRequest<Sink> {
  readonly nodeId: string;
  readonly sink: Sink;
  readonly cancelTimeout: () => void;
}

/**
 * Tracks the requests that the leader sends over an agent's session and to which the agent responds on a separate
 * stream. Used for logs, exec and image uploads.
 *
 * A request fails when the node is not connected, does not respond in time or goes down, and when its client has too
 * many open requests on the node.
 */
export class AgentRequests<Sink extends ResultSink> {
  readonly #options: AgentRequestsOptions;
  /** Requests whose stream the agent has not opened yet, by request ID. */
  readonly #unclaimed = new Map<string, UnclaimedRequest<Sink>>();
  readonly #openByNode = new GroupedMap<{ readonly sink: Sink; readonly client: string }>();
  readonly #countByClient = new Map<string, number>();

  constructor(options: AgentRequestsOptions) {
    this.#options = options;
  }

  /** Starts a request on a node, and ends it when `signal` is aborted. */
  open({ nodeId, client }: RequestTarget, sink: Sink, commands: RequestCommands, signal: AbortSignal): void {
    const { runtime, sessionOf } = this.#options;
    const session = sessionOf(nodeId);
    if (session === undefined) {
      sink.end(unreachableNodeError("its node is not connected"));
      return;
    }
    const { capacity, perClient = Number.POSITIVE_INFINITY } = this.#options;
    if (!this.#hasRoom(nodeId, client)) {
      sink.end(tooManyRequestsError(capacity));
      return;
    }
    if ((this.#countByClient.get(client) ?? 0) >= perClient) {
      sink.end(clientRequestsError(perClient));
      return;
    }
    const requestId = runtime.newId();
    const cancelTimeout = runtime.clock.after(STREAM_TIMEOUT_MS, () =>
      sink.end(unreachableNodeError("its node does not respond")),
    );
    this.#unclaimed.set(requestId, { nodeId, sink, cancelTimeout });
    this.#openByNode.set(nodeId, requestId, { sink, client });
    this.#count(client, 1);
    sink.onEnded = () => {
      sink.onEnded = () => {};
      cancelTimeout();
      this.#unclaimed.delete(requestId);
      this.#openByNode.delete(nodeId, requestId);
      this.#count(client, -1);
    };
    if (!session.send(commands.start(requestId))) {
      sink.end(unreachableNodeError("its node has stopped reading commands"));
    }
    onAbort(signal, () => {
      // The stop is sent over the session, because the agent may have stopped reading the request's stream.
      if (sink.needsStop && !session.isEnded) session.send(commands.stop(requestId));
      sink.end();
    });
  }

  #count(client: string, change: 1 | -1): void {
    const count = (this.#countByClient.get(client) ?? 0) + change;
    if (count === 0) {
      this.#countByClient.delete(client);
    } else {
      this.#countByClient.set(client, count);
    }
  }

  /**
   * Returns whether a client may open another request on a node: it must have fewer open requests than are left. Thus one
   * client gets at most half of the capacity, the next one half of the rest, as switches share buffers between ports.
   */
  #hasRoom(nodeId: string, client: string): boolean {
    const open = this.#openByNode.get(nodeId);
    let nodeCount = 0;
    for (const request of open.values()) {
      if (request.client === client) nodeCount += 1;
    }
    return nodeCount < this.#options.capacity - open.size;
  }

  /**
   * Returns the sink for the stream of an agent.
   *
   * @throws BerthError BERTH_NOT_FOUND if the request has ended or belongs to another node
   */
  claim(requestId: string, caller: Caller): Sink {
    const request = this.#unclaimed.get(requestId);
    if (request === undefined || request.sink.isEnded || !mayReplyFor(request.nodeId, caller)) {
      throw new BerthError({ code: "BERTH_NOT_FOUND", message: `request ${requestId} is over` });
    }
    request.cancelTimeout();
    this.#unclaimed.delete(requestId);
    return request.sink;
  }

  /** Fails all open requests to a node that went down. The connection to a dead host can stay open for minutes. */
  onNodeDown(nodeId: string): void {
    for (const { sink } of [...this.#openByNode.get(nodeId).values()]) {
      sink.end(unreachableNodeError("its node is down"));
    }
  }

  /** Returns whether the node's agent is connected. */
  isReachable(nodeId: string): boolean {
    return this.#options.sessionOf(nodeId)?.isEnded === false;
  }
}

/** Returns the error for a stream that ended before its result was complete. */
export function connectionLostError(): BerthError {
  return unreachableNodeError("the connection to its node was lost");
}

/** Returns whether a caller may answer for a node. Only calls inside one process, as in simulations, have no identity. */
export function mayReplyFor(nodeId: string, caller: Caller): boolean {
  return caller.kind === "anonymous" || (caller.kind === "node" && caller.id === nodeId);
}

function tooManyRequestsError(capacity: number): BerthError {
  return new BerthError({
    code: "BERTH_LIMIT_EXCEEDED",
    message: `too many streams are open on its node (limit ${capacity}, shared by all clients); end some of them, or try again later`,
  });
}

function clientRequestsError(limit: number): BerthError {
  return new BerthError({
    code: "BERTH_LIMIT_EXCEEDED",
    message: `you have ${limit} open streams of this kind, which is the limit of a user; end some of them`,
  });
}

function unreachableNodeError(message: string): BerthError {
  return new BerthError({ code: "BERTH_NODE_UNREACHABLE", message });
}
