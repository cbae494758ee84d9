import { BerthError } from "@berth/proto";
import type { Logger } from "pino";
import type { AgentCommand, Session } from "./session.js";

/** Holds the current session of each connected agent, by node ID. */
export class SessionRegistry {
  readonly #logger: Logger;
  readonly #sessions = new Map<string, Session>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  get size(): number {
    return this.#sessions.size;
  }

  get(nodeId: string): Session | undefined {
    return this.#sessions.get(nodeId);
  }

  all(): IterableIterator<Session> {
    return this.#sessions.values();
  }

  /** Yields the sessions of these nodes. Skips nodes whose agent is not connected. */
  *forNodes(nodeIds: Iterable<string>): IterableIterator<Session> {
    for (const nodeId of nodeIds) {
      const session = this.#sessions.get(nodeId);
      if (session !== undefined) yield session;
    }
  }

  /**
   * Adds a session and ends an older session of the same node. An agent that reconnects has the same boot ID. A
   * different boot ID means that the agent was restarted, or that two hosts have the same node ID.
   */
  add(session: Session): void {
    const older = this.#sessions.get(session.nodeId);
    this.#sessions.set(session.nodeId, session);
    if (older === undefined) return;
    if (older.bootId === session.bootId) {
      older.end();
      return;
    }
    const { nodeId, peer } = session;
    this.#logger.warn(
      { nodeId, peer, olderPeer: older.peer },
      "an agent registered with a new boot ID; ending the older session of its node",
    );
    older.end(duplicateNodeError(nodeId, peer));
  }

  /** Removes a session, unless a newer session of the node has replaced it. */
  remove(session: Session): void {
    if (this.#sessions.get(session.nodeId) === session) this.#sessions.delete(session.nodeId);
  }

  /** Sends a command to one node's agent. Returns false if the agent is not connected or does not read its commands. */
  send(nodeId: string, command: AgentCommand): boolean {
    return this.#sessions.get(nodeId)?.send(command) ?? false;
  }

  /** Sends a command to all connected agents. */
  broadcast(command: AgentCommand): void {
    this.forEachSession(this.all(), (session) => void session.send(command));
  }

  /** Calls `action` for each session. Ends a session for which `action` throws, and continues with the others. */
  forEachSession(sessions: Iterable<Session>, action: (session: Session) => void): void {
    for (const session of sessions) {
      try {
        action(session);
      } catch (error) {
        this.#logger.error({ err: error, nodeId: session.nodeId }, "session failed");
        session.end(sessionFailedError(session.nodeId, error));
      }
    }
  }
}

function duplicateNodeError(nodeId: string, peer: string): BerthError {
  return new BerthError({
    code: "BERTH_CONFLICT",
    message: `an agent at ${peer} has registered as node ${nodeId} with another boot ID; unless this agent was restarted, two hosts use copies of one data directory; give each host its own`,
    details: { nodeId, peer },
  });
}

function sessionFailedError(nodeId: string, cause: unknown): BerthError {
  return new BerthError({
    code: "BERTH_INTERNAL",
    message: `the session of node ${nodeId} failed in the server; see the server's log`,
    cause,
    details: { nodeId },
  });
}
