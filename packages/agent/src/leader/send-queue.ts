import type {
  Heartbeat,
  Hello,
  NodeDescription,
  ProbeResult,
  SessionRequest,
  TrafficReport,
  UsageReport,
} from "@berth/proto";
import type { StatusOutbox } from "./status-outbox.js";

/** Statuses of tasks that start together travel together; short against the time that a start takes. */
const BATCH_WINDOW_MS = 20;

/**
 * What is to be said on one session, in the order of its urgency. Holds the latest of each kind alone, so that a slow
 * leader costs no memory: heartbeats that were not sent in time are not sent later.
 */
export class SendQueue {
  readonly #hello: Hello;
  readonly #outbox: StatusOutbox;
  #heartbeat: Heartbeat | undefined;
  /** No more than are asked for at a time. */
  readonly #probeResults: ProbeResult[] = [];
  /** No more than are asked for at a time. */
  readonly #trafficAnswers: TrafficReport[] = [];
  #tablesApplied = 0;
  #description: NodeDescription | undefined;
  #usage: UsageReport | undefined;
  #isJoined = false;
  #isClosing = false;
  #batchTimer: NodeJS.Timeout | undefined;
  #isBatchDue = false;
  #wake: () => void = () => {};

  constructor(hello: Hello, outbox: StatusOutbox) {
    this.#hello = hello;
    this.#outbox = outbox;
  }

  /** The leader has welcomed this node: from now on more than the hello may be said. */
  join(): void {
    this.#isJoined = true;
    this.statusesChanged();
    this.#wake();
  }

  beat(heartbeat: Heartbeat): void {
    this.#heartbeat = heartbeat;
    this.#wake();
  }

  probed(result: ProbeResult): void {
    this.#probeResults.push(result);
    this.#wake();
  }

  /** Traffic follows the tables as of this sequence: an older answer is covered by it. */
  tablesApplied(sequence: number): void {
    this.#tablesApplied = Math.max(this.#tablesApplied, sequence);
    this.#wake();
  }

  answerTraffic(answer: TrafficReport): void {
    this.#trafficAnswers.push(answer);
    this.#wake();
  }

  used(report: UsageReport): void {
    this.#usage = report;
    this.#wake();
  }

  describe(description: NodeDescription): void {
    this.#description = description;
    this.#wake();
  }

  /** There is something in the outbox. */
  statusesChanged(): void {
    this.#batchTimer ??= setTimeout(() => {
      this.#batchTimer = undefined;
      this.#isBatchDue = true;
      this.#wake();
    }, BATCH_WINDOW_MS);
  }

  /** Ends the messages once everything has been said. */
  close(): void {
    clearTimeout(this.#batchTimer);
    this.#isClosing = true;
    this.#isBatchDue = true;
    this.#wake();
  }

  async *messages(): AsyncGenerator<SessionRequest> {
    yield { message: { $case: "hello", value: this.#hello } };
    for (;;) {
      const next = this.#next();
      if (next !== undefined) yield { message: next };
      else if (this.#isClosing) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #next(): SessionRequest["message"] {
    if (!this.#isJoined) return undefined;
    const heartbeat = this.#heartbeat;
    if (heartbeat !== undefined) {
      this.#heartbeat = undefined;
      return { $case: "heartbeat", value: heartbeat };
    }
    const sequence = this.#tablesApplied;
    if (sequence > 0) {
      this.#tablesApplied = 0;
      return { $case: "tablesApplied", value: { sequence } };
    }
    const probeResult = this.#probeResults.shift();
    if (probeResult !== undefined) return { $case: "probeResult", value: probeResult };
    const traffic = this.#trafficAnswers.shift();
    if (traffic !== undefined) return { $case: "traffic", value: traffic };
    const description = this.#description;
    if (description !== undefined) {
      this.#description = undefined;
      return { $case: "description", value: description };
    }
    const statuses = this.#isBatchDue ? this.#outbox.take() : undefined;
    if (statuses !== undefined) return { $case: "statuses", value: statuses };
    this.#isBatchDue = false;
    const usage = this.#usage;
    this.#usage = undefined;
    return usage && { $case: "usage", value: usage };
  }
}
