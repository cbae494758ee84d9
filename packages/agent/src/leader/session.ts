import { setTimeout as sleep } from "node:timers/promises";
import {
  type Assignments,
  BerthError,
  DispatcherServiceService,
  type Hello,
  isBerthError,
  type MeasureUsage,
  type NodeDescription,
  type ProbeRequest,
  type ProbeResult,
  type SessionResponse,
  type StartExec,
  type StartLogs,
  type StartStats,
  type TrafficReport,
  type TrafficRequest,
  type UsageReport,
  type Welcome,
} from "@berth/proto";
import type { Probe } from "@berth/proto/probe";
import type { RpcClient, RpcTransport } from "@berth/proto/rpc";
import type { Logger } from "pino";
import type { Ticker } from "../runtime/ticker.js";
import { Heartbeats } from "./heartbeats.js";
import { LeaderSilence } from "./leader-silence.js";
import { SendQueue } from "./send-queue.js";
import { untilHostGone } from "./server-watch.js";
import type { SessionEnd } from "./session-end.js";
import type { StatusOutbox } from "./status-outbox.js";

/** Longer than a server that does not lead waits for one that does, before it says so. */
const WELCOME_TIMEOUT_MS = 3_000;
/** Time for the leader to read the last statuses of an agent that stops. */
const CLOSE_GRACE_MS = 500;
/** An acknowledgement comes within milliseconds, or after the leader has lost and found its store again. */
const REPEAT_AFTER_MS = 5_000;

type Calls = RpcClient<typeof DispatcherServiceService>;

/** The part of the agent that obeys the leader. */
export interface SessionHandler {
  /** @throws BerthError BERTH_STALE_EPOCH when this leader has been deposed. */
  onWelcome(welcome: Welcome): Promise<void>;
  /** @throws BerthError BERTH_PROTOCOL when they do not follow from what came before. */
  onAssignments(assignments: Assignments): void;
  /** Resolves with true once what was sent up to this sequence is in force here; false: it is not. */
  tablesInForce(sequence: number): Promise<boolean>;
  onStartLogs(calls: Calls, request: StartLogs): void;
  onStopLogs(requestId: string): void;
  onWatchUsage(watch: MeasureUsage): void;
  onStartExec(calls: Calls, request: StartExec): void;
  onStopExec(requestId: string): void;
  onStartLoad(calls: Calls, request: StartStats): void;
  onStopLoad(requestId: string): void;
  /** Undefined: too much is asked at a time. */
  onProbe(request: ProbeRequest): Promise<ProbeResult | undefined>;
  /** Undefined: it cannot be told. */
  onAskTraffic(request: TrafficRequest): Promise<TrafficReport | undefined>;
  /** The leader has heard what was said at this time of `performance.now()`. */
  onHeard(sentMs: number): void;
  /** Something here waits for the leader's next sign of life. */
  needsContact(): boolean;
  /** Names a heartbeat that is to be acknowledged by when it is sent; 0: it need not be. */
  heartbeatNumber(): number;
  /** The session is over: nobody at its other end hears anything any more. */
  onEnd(): void;
  appliedSequence(): number;
}

export interface SessionOptions {
  readonly address: string;
  readonly transport: RpcTransport;
  readonly probe: Probe;
  readonly pulse: Ticker;
  readonly hello: Hello;
  readonly outbox: StatusOutbox;
  readonly handler: SessionHandler;
  readonly log: Logger;
  /** Ends the session, after what is still to be said. */
  readonly signal: AbortSignal;
}

/** One stream to one server, from the hello to its end. */
export class Session {
  readonly #options: SessionOptions;
  readonly #outgoing: SendQueue;
  readonly #abort = new AbortController();
  readonly #beganMs = performance.now();
  #welcome: Welcome | undefined;
  #heartbeats: Heartbeats | undefined;
  #silence: LeaderSilence | undefined;
  #repeatTimer: NodeJS.Timeout | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#outgoing = new SendQueue(options.hello, options.outbox);
  }

  describe(description: NodeDescription): void {
    this.#outgoing.describe(description);
  }

  statusesChanged(): void {
    this.#outgoing.statusesChanged();
  }

  used(report: UsageReport): void {
    this.#outgoing.used(report);
  }

  /** Never rejects: every end is a value. */
  async run(): Promise<SessionEnd> {
    const { address, transport, probe, pulse, signal } = this.#options;
    const connection = transport.connect(DispatcherServiceService, { address });
    const onSignal = (): void => void this.#close();
    signal.addEventListener("abort", onSignal, { once: true });
    const welcomeTimer = setTimeout(() => this.#abort.abort(unanswered(address)), WELCOME_TIMEOUT_MS);
    const over = new AbortController();
    void untilHostGone({ address, probe, pulse }, over.signal).then((isGone) => {
      if (isGone) this.#abort.abort(silent(address));
    });
    try {
      const responses = connection.calls.session(this.#outgoing.messages(), { signal: this.#abort.signal });
      for await (const response of responses) {
        this.#silence?.heard(performance.now());
        await this.#take(response, connection.calls);
        if (this.#welcome !== undefined) clearTimeout(welcomeTimer);
      }
      return this.#ended(new Error("the server closed the session"));
    } catch (error) {
      return this.#ended(error);
    } finally {
      over.abort();
      clearTimeout(welcomeTimer);
      clearInterval(this.#repeatTimer);
      this.#heartbeats?.stop();
      this.#outgoing.close();
      this.#options.handler.onEnd();
      signal.removeEventListener("abort", onSignal);
      connection.close();
    }
  }

  async #take({ message }: SessionResponse, calls: Calls): Promise<void> {
    const { handler, outbox } = this.#options;
    switch (message?.$case) {
      case "welcome":
        await handler.onWelcome(message.value);
        return this.#join(message.value);
      case "assignments":
        this.#requireWelcome();
        handler.onAssignments(message.value);
        if (message.value.ackRequested) void this.#tellWhenInForce(message.value.resultsIn);
        if (handler.needsContact()) this.#heartbeats?.beatNow();
        return;
      case "statusesAck":
        return outbox.acknowledge(message.value.batch);
      case "startLogs":
        return handler.onStartLogs(calls, message.value);
      case "stopLogs":
        return handler.onStopLogs(message.value.requestId);
      case "startStats":
        return handler.onStartLoad(calls, message.value);
      case "stopStats":
        return handler.onStopLoad(message.value.requestId);
      case "startExec":
        return handler.onStartExec(calls, message.value);
      case "stopExec":
        return handler.onStopExec(message.value.requestId);
      case "probe":
        void this.#probe(message.value);
        return;
      case "trafficRequest":
        void this.#answerTraffic(message.value);
        return;
      case "measureUsage":
        return handler.onWatchUsage(message.value);
      case "heartbeatAck":
        return handler.onHeard(message.value.number);
      case "heartbeatInterval":
        return this.#heartbeats?.setInterval(message.value.heartbeatMs);
      case undefined:
        // A newer leader says something that this agent does not know yet.
        return;
    }
  }

  #join(welcome: Welcome): void {
    const { outbox, handler } = this.#options;
    this.#welcome = welcome;
    handler.onHeard(this.#beganMs);
    outbox.repeatAll();
    this.#outgoing.join();
    this.#silence = new LeaderSilence(performance.now());
    this.#heartbeats = new Heartbeats({
      intervalMs: welcome.heartbeatMs,
      pulse: this.#options.pulse,
      onBeat: (lagMs, intervalMs) => this.#beat(lagMs, intervalMs),
    });
    this.#repeatTimer = setInterval(() => {
      outbox.repeatUnacked();
      if (outbox.hasUnsent) this.#outgoing.statusesChanged();
    }, REPEAT_AFTER_MS);
  }

  async #tellWhenInForce(sequence: number): Promise<void> {
    if (await this.#options.handler.tablesInForce(sequence)) this.#outgoing.tablesApplied(sequence);
  }

  async #probe(request: ProbeRequest): Promise<void> {
    const result = await this.#options.handler.onProbe(request);
    if (result !== undefined) this.#outgoing.probed(result);
  }

  async #answerTraffic(request: TrafficRequest): Promise<void> {
    const answer = await this.#options.handler.onAskTraffic(request);
    if (answer !== undefined) this.#outgoing.answerTraffic(answer);
  }

  #beat(lagMs: number, intervalMs: number): void {
    const { handler, address } = this.#options;
    const nowMs = performance.now();
    const verdict = this.#silence?.beat({ nowMs, lagMs, intervalMs });
    if (verdict?.isSilent === true) this.#abort.abort(standingStill(address));
    const number = handler.heartbeatNumber() || (verdict?.asks === true ? Math.floor(nowMs) : 0);
    this.#outgoing.beat({ appliedSequence: handler.appliedSequence(), lagMs, number });
  }

  #requireWelcome(): void {
    if (this.#welcome !== undefined) return;
    throw new BerthError({
      code: "BERTH_PROTOCOL",
      message: "the server sent assignments before its welcome",
    });
  }

  async #close(): Promise<void> {
    this.#outgoing.close();
    await sleep(CLOSE_GRACE_MS, undefined, { ref: false });
    this.#abort.abort(this.#options.signal.reason);
  }

  #ended(error: unknown): SessionEnd {
    const servers = this.#welcome?.servers ?? [];
    if (isBerthError(error, "BERTH_NOT_LEADER")) {
      const afterMs = performance.now() - this.#beganMs;
      return { kind: "not-leader", leader: error.details.leader ?? "", afterMs, servers };
    }
    const reason = error instanceof Error ? error.message : String(error);
    return { kind: "lost", joinedHeartbeatMs: this.#welcome?.heartbeatMs, reason, servers };
  }
}

function unanswered(address: string): BerthError {
  const message = `the server at ${address} did not answer within ${WELCOME_TIMEOUT_MS / 1_000} s`;
  return new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message });
}

function standingStill(address: string): BerthError {
  const message = `the server at ${address} answers nothing any more, though it is connected`;
  return new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message });
}

function silent(address: string): BerthError {
  const message = `the host of the server at ${address} is silent`;
  return new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message });
}
