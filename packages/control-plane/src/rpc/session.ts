import { type Assignments, BerthError, type SessionResponse, type Welcome } from "@berth/proto";
import type { Clock } from "../store/clock.js";
import { AssignmentChain, type AssignmentSource } from "./assignment-chain.js";

/** Changes within this time of the last message travel together; the first after a pause travels at once. */
const COALESCE_MS = 20;

/** Log orders that an agent has not taken yet. More than this means that it takes nothing at all. */
const MAX_ORDERS = 1_000;

/** An order beside the assignments: not part of the chain, sent once. */
export type Order = Extract<
  NonNullable<SessionResponse["message"]>,
  { readonly $case: "startLogs" | "stopLogs" | "startExec" | "stopExec" }
>;

export interface SessionOptions {
  readonly nodeId: string;
  readonly bootId: string;
  readonly peer: string;
  readonly welcome: Welcome;
  readonly source: AssignmentSource;
  readonly clock: Clock;
}

/** The leader's side of one agent's stream. What is to be said is kept as facts and made into a message when the agent takes it. */
export class Session {
  readonly nodeId: string;
  readonly bootId: string;
  readonly peer: string;
  readonly chain: AssignmentChain;
  readonly #welcome: Welcome;
  readonly #clock: Clock;
  readonly #orders: Order[] = [];
  #ackedBatch = 0;
  #saidBatch = 0;
  #quietUntilMs = 0;
  #ended: { readonly reason: BerthError | undefined } | undefined;
  #wake: () => void = () => {};

  constructor(options: SessionOptions) {
    this.nodeId = options.nodeId;
    this.bootId = options.bootId;
    this.peer = options.peer;
    this.chain = new AssignmentChain(options.nodeId, options.source);
    this.#welcome = options.welcome;
    this.#clock = options.clock;
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

  /** Every status up to this batch is in the store. */
  ack(batch: number): void {
    this.#ackedBatch = Math.max(this.#ackedBatch, batch);
    this.#wake();
  }

  order(order: Order): void {
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
    if (!this.chain.isStale || nowMs < this.#quietUntilMs) return undefined;
    const assignments = this.chain.next();
    if (assignments !== undefined) this.#quietUntilMs = nowMs + COALESCE_MS;
    return assignments;
  }

  #somethingToSay(): Promise<void> {
    return new Promise((resolve) => {
      let cancel: (() => void) | undefined;
      const go = (): void => {
        this.#wake = () => {};
        cancel?.();
        resolve();
      };
      this.#wake = () => {
        const quietMs = this.#quietUntilMs - this.#clock.nowMs();
        if (quietMs <= 0 || this.#isUrgent) go();
        else cancel ??= this.#clock.after(quietMs, go);
      };
      if (this.chain.isStale || this.#isUrgent) this.#wake();
    });
  }

  get #isUrgent(): boolean {
    return this.isEnded || this.#orders.length > 0 || this.#ackedBatch > this.#saidBatch;
  }
}

function stuck(nodeId: string): BerthError {
  return new BerthError({
    code: "BERTH_PROTOCOL",
    message: `The agent of node ${nodeId} takes no orders any more (${MAX_ORDERS} wait). Its session was ended.`,
  });
}
