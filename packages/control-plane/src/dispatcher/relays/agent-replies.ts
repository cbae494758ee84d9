import { BerthError } from "@berth/proto";
import { onAbort } from "../../runtime/abort.js";
import type { AgentCommand } from "../session.js";
import type { RelayOptions } from "./agent-requests.js";

export interface AgentRequest {
  readonly nodeId: string;
  /** Returns the command that is sent to the agent. */
  readonly command: (requestId: string) => AgentCommand;
  readonly timeoutMs: number;
}

interface PendingReply<Reply> {
  readonly nodeId: string;
  readonly settle: (result: Reply | BerthError) => void;
}

/**
 * Sends requests over the sessions of agents, and waits for the reply to each. The reply is one message of the same
 * session; AgentRequests serves requests with longer results.
 */
export class AgentReplies<Reply> {
  readonly #options: RelayOptions;
  /** Pending requests by ID. An entry is removed at its timeout at the latest. */
  readonly #pending = new Map<string, PendingReply<Reply>>();

  constructor(options: RelayOptions) {
    this.#options = options;
  }

  /**
   * Sends a request and returns its reply.
   *
   * @throws BerthError BERTH_NODE_UNREACHABLE if the agent does not reply in time, its session ends, or `signal` is
   *   aborted while the reply is pending; the reason of a signal that was aborted before the call
   */
  request({ nodeId, command, timeoutMs }: AgentRequest, signal: AbortSignal): Promise<Reply> {
    const { runtime, sessionOf } = this.#options;
    const session = sessionOf(nodeId);
    const requestId = runtime.newId();
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const settle = (result: Reply | BerthError): void => {
        cancelTimeout();
        stopWatching();
        removeEndListener();
        this.#pending.delete(requestId);
        if (result instanceof BerthError) {
          reject(result);
        } else {
          resolve(result);
        }
      };
      const cancelTimeout = runtime.clock.after(timeoutMs, () =>
        settle(unreachableError(`its agent did not reply within ${timeoutMs / 1_000} s`)),
      );
      const stopWatching = onAbort(signal, () => settle(unreachableError("the call has ended")));
      const onSessionEnd = (): void => settle(unreachableError("the connection to its agent was lost"));
      const removeEndListener = session?.onEnd(onSessionEnd) ?? (() => {});
      this.#pending.set(requestId, { nodeId, settle });
      if (session === undefined || session.isEnded) {
        settle(unreachableError("its agent is not connected"));
      } else if (!session.send(command(requestId))) {
        settle(unreachableError("its agent has stopped reading commands"));
      }
    });
  }

  /** Records the reply of a node. Ignores late and unrequested replies. */
  record(nodeId: string, requestId: string, reply: Reply): void {
    const pending = this.#pending.get(requestId);
    if (pending?.nodeId === nodeId) pending.settle(reply);
  }
}

function unreachableError(message: string): BerthError {
  return new BerthError({ code: "BERTH_NODE_UNREACHABLE", message });
}
