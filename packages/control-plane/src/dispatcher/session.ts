import { type Assignments, BerthError, type SessionResponse, type Welcome } from "@berth/proto";
import type { Clock } from "../runtime/clock.js";
import { AssignmentFeed, type AssignmentSource } from "./assignments/assignment-feed.js";
import { TableAcks } from "./table-acks.js";

/** Changes within this time of the last message travel together; the first after a pause travels at once. */
const COALESCE_MS = 20;

/**
 * While there is more to say at the end of each such time it is doubled up to this: a hundred thousand tasks that come
 * one by one would otherwise cost as many messages. A start of a container takes as long anyway.
 */
const MAX_COALESCE_MS = 320;

/**
 * And up to this while the leader has more decisions to write than go at once. A thousand agents cost it as many
 * messages each time; the sooner it is done, the sooner the last of them hears of its tasks.
 */
const MAX_FLOOD_MS = 1_280;

/** Log orders that an agent has not taken yet. More than this means that it takes nothing at all. */
const MAX_ORDERS = 1_000;

/** An order beside the assignments: not part of the chain, sent once. */
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
      | "startStats"
      | "stopStats"
      | "trafficRequest";
  }
>;

export interface SessionOptions {
  readonly nodeId: string;
  readonly bootId: string;
  readonly peer: string;
  readonly welcome: Welcome;
  readonly source: AssignmentSource;
  /** Of the tables that `source` has now. */
  readonly tableVersion: () => number;
  readonly clock: Clock;
  /** The leader knows that more changes of tasks follow at once. */
  readonly hasBacklog?: () => boolean;
}

/** The leader's side of one agent's stream. What is to be said is kept as facts and made into a message when the agent takes it. */
export class Session {
  readonly nodeId: string;
  readonly bootId: string;
  readonly peer: string;
  readonly chain: AssignmentFeed;
  readonly #welcome: Welcome;
  readonly #clock: Clock;
  readonly #isFlooded: () => boolean;
  readonly #orders: AgentCommand[] = [];
  readonly #tableVersion: () => number;
  readonly #acks = new TableAcks();
  #heardBeat = 0;
  #ackedBeat = 0;
  #ackedBatch = 0;
  #saidBatch = 0;
  #assignedAtMs = Number.NEGATIVE_INFINITY;
  #coalesceMs = COALESCE_MS;
  #ended: { readonly reason: BerthError | undefined } | undefined;
  #wake: () => void = () => {};

  constructor(options: SessionOptions) {
    this.nodeId = options.nodeId;
    this.bootId = options.bootId;
    this.peer = options.peer;
    this.chain = new AssignmentFeed(options.nodeId, options.source);
    this.#welcome = options.welcome;
    this.#tableVersion = options.tableVersion;
    this.#clock = options.clock;
    this.#isFlooded = options.hasBacklog ?? (() => false);
  }

  /** The version of the tables that the agent has in force, by its own word; 0: it has not said. */
  get appliedTableVersion(): number {
    return this.#acks.inForce;
  }

  get isEnded(): boolean {
    return this.#ended !== undefined;
  }

  taskChanged(taskId: string): void {
    this.chain.taskChanged(taskId);
    this.#wake();
  }

  ingressChanged(key: string): void {
    this.chain.ingressChanged(key);
    this.#wake();
  }

  /** The agent is to say when it has these tables, or later ones, in force. */
  requestTableAck(version: number): void {
    this.#acks.want(version);
    this.#wake();
  }

  /** The agent has in force what it was sent up to this sequence. True when that is news. */
  tablesApplied(sequence: number): boolean {
    return this.#acks.applied(sequence);
  }

  /** Nothing more follows at once: what was gathered may go. */
  backlogWritten(): void {
    this.#coalesceMs = COALESCE_MS;
    this.#wake();
  }

  networkChanged(networkId: string): void {
    this.chain.networkChanged(networkId);
    this.#wake();
  }

  dnsEntryChanged(key: string): void {
    this.chain.dnsEntryChanged(key);
    this.#wake();
  }

  /** Every status up to this batch is in the store. */
  ackStatuses(batch: number): void {
    this.#ackedBatch = Math.max(this.#ackedBatch, batch);
    this.#wake();
  }

  /** The agent asked for a sign that this heartbeat was heard. */
  ackHeartbeat(number: number): void {
    this.#heardBeat = number;
    this.#wake();
  }

  send(order: AgentCommand): void {
    if (this.#orders.length >= MAX_ORDERS) this.end(stuck(this.nodeId));
    else this.#orders.push(order);
    this.#wake();
  }

  /** Ends the stream, with an error for the agent if there is one. The first reason counts. */
  end(reason?: BerthError): void {
    this.#ended ??= { reason };
    this.#wake();
  }

  /** Everything for the agent, until the session ends. @throws the reason that it was ended with */
  async *messages(): AsyncGenerator<SessionResponse> {
    yield { message: { $case: "welcome", value: this.#welcome } };
    while (this.#ended === undefined) {
      const message = this.#next();
      if (message !== undefined) yield { message };
      else await this.#somethingToSay();
    }
    if (this.#ended.reason !== undefined) throw this.#ended.reason;
  }

  #next(): SessionResponse["message"] {
    if (this.#heardBeat > this.#ackedBeat) {
      this.#ackedBeat = this.#heardBeat;
      return { $case: "heartbeatAck", value: { number: this.#ackedBeat } };
    }
    if (this.#ackedBatch > this.#saidBatch) {
      this.#saidBatch = this.#ackedBatch;
      return { $case: "statusesAck", value: { batch: this.#saidBatch } };
    }
    const order = this.#orders.shift();
    if (order !== undefined) return order;
    const value = this.#assignments();
    return value && { $case: "assignments", value };
  }

  #assignments(): Assignments | undefined {
    const nowMs = this.#clock.nowMs();
    if (!this.#isStale || nowMs < this.#dueMs) return undefined;
    const ackRequested = this.#acks.isDue;
    const assignments = this.chain.next(ackRequested);
    if (assignments === undefined) return undefined;
    if (ackRequested) this.#acks.asked(assignments.resultsIn, this.#tableVersion());
    const isFlooded = this.#isFlooded();
    // In a flood one agent's turn comes every now and then: that is no pause.
    const hadPause = !isFlooded && nowMs - this.#assignedAtMs > this.#coalesceMs + COALESCE_MS;
    const maxMs = isFlooded ? MAX_FLOOD_MS : MAX_COALESCE_MS;
    this.#coalesceMs = hadPause ? COALESCE_MS : Math.min(maxMs, this.#coalesceMs * 2);
    this.#assignedAtMs = nowMs;
    return assignments;
  }

  /** When what is stale is to be said. Traffic does not wait for a flood of tasks to end. */
  get #dueMs(): number {
    const isTraffic = this.chain.isTrafficStale || this.#acks.isDue;
    return this.#assignedAtMs + (isTraffic ? COALESCE_MS : this.#coalesceMs);
  }

  get #isStale(): boolean {
    return this.chain.isStale || this.#acks.isDue;
  }

  #somethingToSay(): Promise<void> {
    return new Promise((resolve) => {
      let cancel: (() => void) | undefined;
      let goesAtMs = Number.POSITIVE_INFINITY;
      const go = (): void => {
        this.#wake = () => {};
        cancel?.();
        resolve();
      };
      this.#wake = () => {
        const nowMs = this.#clock.nowMs();
        const dueMs = this.#dueMs;
        if (dueMs <= nowMs || this.#isUrgent) go();
        else if (dueMs < goesAtMs) {
          cancel?.();
          goesAtMs = dueMs;
          cancel = this.#clock.after(dueMs - nowMs, go);
        }
      };
      if (this.#isStale || this.#isUrgent) this.#wake();
    });
  }

  get #isUrgent(): boolean {
    const isAckDue = this.#ackedBatch > this.#saidBatch || this.#heardBeat > this.#ackedBeat;
    return this.isEnded || this.#orders.length > 0 || isAckDue;
  }
}

function stuck(nodeId: string): BerthError {
  return new BerthError({
    code: "BERTH_PROTOCOL",
    message: `The agent of node ${nodeId} takes no orders any more (${MAX_ORDERS} wait). Its session was ended.`,
  });
}
