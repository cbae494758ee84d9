import { BerthError } from "@berth/proto";
import type { Logger } from "pino";
import type { AgentCommand, Session } from "./session.js";

/** The live session of each node's agent. */
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

  /** Returns the sessions of those nodes whose agents are connected. */
  *ofNodes(nodeIds: Iterable<string>): IterableIterator<Session> {
    for (const nodeId of nodeIds) {
      const session = this.#sessions.get(nodeId);
      if (session !== undefined) yield session;
    }
  }

  /**
   * Adds a session and ends an older one of the same node. The newest agent owns the node: a reconnect of the same
   * process is expected, while another process means that two hosts have the same node id.
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
    this.#logger.warn({ nodeId, peer, olderPeer: older.peer }, "another agent registered with this node id");
    older.end(duplicateNode(nodeId, peer));
  }

  /** Removes a session, unless a newer one of its node has replaced it. */
  remove(session: Session): void {
    if (this.#sessions.get(session.nodeId) === session) this.#sessions.delete(session.nodeId);
  }

  /** Sends a command to one node's agent. Returns whether the agent is connected. */
  send(nodeId: string, command: AgentCommand): boolean {
    const session = this.#sessions.get(nodeId);
    session?.send(command);
    return session !== undefined;
  }

  /** Sends a command to all connected agents. */
  broadcast(command: AgentCommand): void {
    this.updateEach(this.all(), (session) => session.send(command));
  }

  /** Calls `run` for each session. A session for which it throws is ended; the other sessions are not affected. */
  updateEach(sessions: Iterable<Session>, run: (session: Session) => void): void {
    for (const session of sessions) {
      try {
        run(session);
      } catch (error) {
        this.#logger.error({ err: error, nodeId: session.nodeId }, "session failed");
        session.end(sessionFailed(session.nodeId, error));
      }
    }
  }
}

function duplicateNode(nodeId: string, peer: string): BerthError {
  return new BerthError({
    code: "BERTH_CONFLICT",
    message: `another agent, at ${peer}, has registered as node ${nodeId}: two hosts have the same data directory; give one of them its own`,
    details: { nodeId, peer },
  });
}

function sessionFailed(nodeId: string, cause: unknown): BerthError {
  return new BerthError({
    code: "BERTH_INTERNAL",
    message: `the session of node ${nodeId} failed in the server: see the server's log`,
    cause,
    details: { nodeId },
  });
}
