import type { Assignments, BerthError, SessionResponse, Welcome } from "@berth/proto";
import type { Clock } from "../runtime/clock.js";
import { AssignmentFeed, type AssignmentSource } from "./assignments/assignment-feed.js";
import { Coalescer } from "./coalescer.js";
import { CommandQueue } from "./command-queue.js";
import { TableAcks } from "./table-acks.js";

/** A message that the leader sends once and in order, outside of the assignments. */
export type AgentCommand = Extract<
  NonNullable<SessionResponse["message"]>,
  {
    readonly $case:
      | "startLogs"
      | "stopLogs"
      | "startExec"
      | "stopExec"
      | "probe"
      | "heartbeatInterval"
      | "measureUsage"
      | "authorities"
      | "startStats"
      | "stopStats"
      | "trafficRequest"
      | "checkRegistryLogin"
      | "imageDigestRequest"
      | "volumeRequest"
      | "imageQuery"
      | "removeImages"
      | "fetchImage"
      | "startImageUpload"
      | "stopImageUpload"
      | "servers";
  }
>;

export interface SessionOptions {
  readonly nodeId: string;
  readonly bootId: string;
  /** Address of the agent's connection. */
  readonly peer: string;
  readonly welcome: Welcome;
  readonly source: AssignmentSource;
  /** Returns the current version of the traffic tables in `source`. */
  readonly tableVersion: () => number;
  readonly clock: Clock;
  /** Whether the agent can be asked for digests of images. Default: false. */
  readonly resolvesImages?: boolean;
  /** Whether the agent transfers images. Default: false. */
  readonly transfersImages?: boolean;
  /** Whether the leader has more decisions to write than fit into one transaction. */
  readonly hasBacklog?: () => boolean;
}

/**
 * The sending side of one agent's session with the leader.
 *
 * Records changes as keys and builds a message when the agent is ready for the next one, so a slow agent costs no memory.
 */
export class Session {
  readonly nodeId: string;
  readonly bootId: string;
  readonly peer: string;
  readonly resolvesImages: boolean;
  readonly transfersImages: boolean;
  readonly #assignments: AssignmentFeed;
  readonly #welcome: Welcome;
  readonly #clock: Clock;
  readonly #hasBacklog: () => boolean;
  readonly #tableVersion: () => number;
  readonly #commands = new CommandQueue();
  readonly #tableAcks = new TableAcks();
  readonly #coalescer = new Coalescer();
  readonly #heartbeatAck = new CumulativeAck();
  readonly #statusesAck = new CumulativeAck();
  readonly #endListeners = new Set<() => void>();
  #end: { readonly reason: BerthError | undefined } | undefined;
  /** Evaluates again whether a message is due. Set while `messages` waits. */
  #wake: () => void = () => {};

  constructor(options: SessionOptions) {
    this.nodeId = options.nodeId;
    this.bootId = options.bootId;
    this.peer = options.peer;
    this.resolvesImages = options.resolvesImages ?? false;
    this.transfersImages = options.transfersImages ?? false;
    this.#assignments = new AssignmentFeed(options.nodeId, options.source);
    this.#welcome = options.welcome;
    this.#tableVersion = options.tableVersion;
    this.#clock = options.clock;
    this.#hasBacklog = options.hasBacklog ?? (() => false);
  }

  /** The version of the traffic tables that the agent has acknowledged; 0 before the first acknowledgement. */
  get appliedTableVersion(): number {
    return this.#tableAcks.appliedVersion;
  }

  get isEnded(): boolean {
    return this.#end !== undefined;
  }

  markTaskStale(taskId: string): void {
    this.#assignments.markTaskStale(taskId);
    this.#wake();
  }

  markIngressStale(key: string): void {
    this.#assignments.markIngressStale(key);
    this.#wake();
  }

  markNetworkStale(networkId: string): void {
    this.#assignments.markNetworkStale(networkId);
    this.#wake();
  }

  markDnsEntryStale(key: string): void {
    this.#assignments.markDnsEntryStale(key);
    this.#wake();
  }

  markRegistryLoginStale(key: string): void {
    this.#assignments.markRegistryLoginStale(key);
    this.#wake();
  }

  markPolicyStale(): void {
    this.#assignments.markPolicyStale();
    this.#wake();
  }

  /** Called when a restore starts or completes, which determines whether agents keep unknown tasks. */
  onRestoreChanged(): void {
    this.#wake();
  }

  /** Asks the agent to acknowledge when it has applied this version of the traffic tables, or a later one. */
  requestTableAck(version: number): void {
    this.#tableAcks.requireAck(version);
    this.#wake();
  }

  /** Records that the agent has applied everything up to `sequence`. Returns whether its table version grew. */
  recordTablesApplied(sequence: number): boolean {
    return this.#tableAcks.recordAck(sequence);
  }

  /** Sends the changes that were delayed during the leader's backlog. */
  onBacklogCleared(): void {
    this.#coalescer.reset();
    this.#wake();
  }

  /** Acknowledges that all statuses up to this batch are in the store. */
  ackStatuses(batch: number): void {
    this.#statusesAck.advance(batch);
    this.#wake();
  }

  /** Acknowledges the heartbeat with this number. */
  ackHeartbeat(number: number): void {
    this.#heartbeatAck.advance(number);
    this.#wake();
  }

  /** Queues a command. Returns false when the agent has too many unread commands. */
  send(command: AgentCommand): boolean {
    const isQueued = this.#commands.push(command);
    this.#wake();
    return isQueued;
  }

  /** Ends the stream, with `reason` as the error that the agent receives. Later calls have no effect. */
  end(reason?: BerthError): void {
    this.#end ??= { reason };
    this.#wake();
    for (const listener of this.#endListeners) listener();
    this.#endListeners.clear();
  }

  /** Calls `listener` once when the session ends. The returned function removes the listener. */
  onEnd(listener: () => void): () => void {
    this.#endListeners.add(listener);
    return () => this.#endListeners.delete(listener);
  }

  /**
   * Yields the messages for the agent until the session ends.
   *
   * @throws the reason that was passed to `end`
   */
  async *messages(): AsyncGenerator<SessionResponse> {
    yield { message: { $case: "welcome", value: this.#welcome } };
    while (this.#end === undefined) {
      const message = this.#takeMessage();
      if (message !== undefined) {
        yield { message };
      } else {
        await this.#waitForMessage();
      }
    }
    if (this.#end.reason !== undefined) throw this.#end.reason;
  }

  #takeMessage(): SessionResponse["message"] {
    if (this.#heartbeatAck.isDue) {
      return { $case: "heartbeatAck", value: { number: this.#heartbeatAck.take() } };
    }
    if (this.#statusesAck.isDue) {
      return { $case: "statusesAck", value: { batch: this.#statusesAck.take() } };
    }
    const command = this.#commands.take();
    if (command !== undefined) return command;
    const assignments = this.#takeAssignments();
    return assignments && { $case: "assignments", value: assignments };
  }

  #takeAssignments(): Assignments | undefined {
    const nowMs = this.#clock.nowMs();
    if (!this.#hasAssignments || nowMs < this.#assignmentsDueMs) return undefined;
    const ackRequested = this.#tableAcks.isDue;
    const assignments = this.#assignments.takeMessage(ackRequested);
    if (assignments === undefined) return undefined;
    if (ackRequested) this.#tableAcks.recordRequest(assignments.resultsIn, this.#tableVersion());
    this.#coalescer.recordSent(nowMs, this.#hasBacklog());
    return assignments;
  }

  get #hasAssignments(): boolean {
    return this.#assignments.isStale || this.#tableAcks.isDue;
  }

  get #assignmentsDueMs(): number {
    return this.#coalescer.dueMs(this.#assignments.isTrafficStale || this.#tableAcks.isDue);
  }

  get #hasImmediateMessage(): boolean {
    const isAckDue = this.#statusesAck.isDue || this.#heartbeatAck.isDue;
    return this.isEnded || !this.#commands.isEmpty || isAckDue;
  }

  /** Resolves when there may be a message to send. Until then, `#wake` re-evaluates when that will be. */
  #waitForMessage(): Promise<void> {
    return new Promise((resolve) => {
      let cancelTimer: (() => void) | undefined;
      let timerAtMs = Number.POSITIVE_INFINITY;
      const finish = (): void => {
        this.#wake = () => {};
        cancelTimer?.();
        resolve();
      };
      this.#wake = () => {
        const nowMs = this.#clock.nowMs();
        const dueMs = this.#assignmentsDueMs;
        if (dueMs <= nowMs || this.#hasImmediateMessage) {
          finish();
        } else if (dueMs < timerAtMs) {
          cancelTimer?.();
          timerAtMs = dueMs;
          cancelTimer = this.#clock.after(dueMs - nowMs, finish);
        }
      };
      if (this.#hasAssignments || this.#hasImmediateMessage) this.#wake();
    });
  }
}

/** Acknowledges numbered messages. One acknowledgement covers all messages up to its number. */
class CumulativeAck {
  #number = 0;
  #sentNumber = 0;

  get isDue(): boolean {
    return this.#number > this.#sentNumber;
  }

  /** Records that all messages up to this number can be acknowledged. */
  advance(number: number): void {
    this.#number = Math.max(this.#number, number);
  }

  /** Returns the number to acknowledge, and records it as sent. */
  take(): number {
    this.#sentNumber = this.#number;
    return this.#sentNumber;
  }
}
