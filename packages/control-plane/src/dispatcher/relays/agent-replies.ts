import { BerthError } from "@berth/proto";
import { onAbort } from "../../runtime/abort.js";
import type { AgentCommand } from "../session.js";
import type { RelayOptions } from "./agent-requests.js";

export interface AgentQuestion {
  readonly nodeId: string;
  /** Returns the command that asks for the reply. */
  readonly command: (requestId: string) => AgentCommand;
  readonly timeoutMs: number;
}

interface PendingReply<Reply> {
  readonly nodeId: string;
  readonly settle: (result: Reply | BerthError) => void;
}

/**
 * Sends requests over the sessions of agents, and waits for one reply to each, which arrives in the same session. For
 * replies that fit into one message.
 */
export class AgentReplies<Reply> {
  readonly #options: RelayOptions;
  /** By request id. Each entry ends with its timeout. */
  readonly #pending = new Map<string, PendingReply<Reply>>();

  constructor(options: RelayOptions) {
    this.#options = options;
  }

  /** @throws BerthError BERTH_NODE_UNREACHABLE when the node does not reply in time; the signal's reason */
  ask({ nodeId, command, timeoutMs }: AgentQuestion, signal: AbortSignal): Promise<Reply> {
    const { runtime, sessionOf } = this.#options;
    const session = sessionOf(nodeId);
    const requestId = runtime.newId();
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const settle = (result: Reply | BerthError): void => {
        cancelTimeout();
        stopWatching();
        this.#pending.delete(requestId);
        if (result instanceof BerthError) reject(result);
        else resolve(result);
      };
      const cancelTimeout = runtime.clock.after(timeoutMs, () =>
        settle(unreachable(`its agent did not reply within ${timeoutMs / 1_000} s`)),
      );
      const stopWatching = onAbort(signal, () => {
        settle(unreachable("the call has ended"));
      });
      this.#pending.set(requestId, { nodeId, settle });
      if (session === undefined || session.isEnded) settle(unreachable("its agent is not connected"));
      else if (!session.send(command(requestId))) settle(unreachable("its agent does not read its commands"));
    });
  }

  /** Records the reply of a node. Ignores late and unrequested ones. */
  record(nodeId: string, requestId: string, reply: Reply): void {
    const pending = this.#pending.get(requestId);
    if (pending?.nodeId === nodeId) pending.settle(reply);
  }
}

function unreachable(message: string): BerthError {
  return new BerthError({ code: "BERTH_NODE_UNREACHABLE", message });
}
