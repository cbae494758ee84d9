import { setTimeout as sleep } from "node:timers/promises";
import {
  type Assignments,
  BerthError,
  DispatcherServiceService,
  type Hello,
  isBerthError,
  type NodeDescription,
  type RpcClient,
  type RpcTransport,
  type SessionResponse,
  type StartExec,
  type StartLogs,
  type Welcome,
} from "@berth/proto";
import type { Logger } from "pino";
import { Heartbeats } from "./heartbeats.js";
import type { Outbox } from "./outbox.js";
import { Outgoing } from "./outgoing.js";
import type { SessionEnd } from "./session-end.js";

/** A dead host does not even refuse: without this the connection attempt would wait for the kernel to give up. */
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
  onStartLogs(calls: Calls, request: StartLogs): void;
  onStopLogs(requestId: string): void;
  onStartExec(calls: Calls, request: StartExec): void;
  onStopExec(requestId: string): void;
  /** The session is over: nobody at its other end hears anything any more. */
  onEnd(): void;
  appliedSequence(): number;
}

export interface SessionOptions {
  readonly address: string;
  readonly transport: RpcTransport;
  readonly hello: Hello;
  readonly outbox: Outbox;
  readonly handler: SessionHandler;
  readonly log: Logger;
  /** Ends the session, after what is still to be said. */
  readonly signal: AbortSignal;
}

/** One stream to one server, from the hello to its end. */
export class Session {
  readonly #options: SessionOptions;
  readonly #outgoing: Outgoing;
  readonly #abort = new AbortController();
  #welcome: Welcome | undefined;
  #heartbeats: Heartbeats | undefined;
  #repeatTimer: NodeJS.Timeout | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#outgoing = new Outgoing(options.hello, options.outbox);
  }

  describe(description: NodeDescription): void {
    this.#outgoing.describe(description);
  }

  statusesChanged(): void {
    this.#outgoing.statusesChanged();
  }

  /** Never rejects: every end is a value. */
  async run(): Promise<SessionEnd> {
    const { address, transport, signal } = this.#options;
    const connection = transport.connect(DispatcherServiceService, { address });
    const onSignal = (): void => void this.#close();
    signal.addEventListener("abort", onSignal, { once: true });
    const welcomeTimer = setTimeout(() => this.#abort.abort(silent(address)), WELCOME_TIMEOUT_MS);
    try {
      const responses = connection.calls.session(this.#outgoing.messages(), { signal: this.#abort.signal });
      for await (const response of responses) {
        await this.#take(response, connection.calls);
        if (this.#welcome !== undefined) clearTimeout(welcomeTimer);
      }
      return this.#ended(new Error("the server closed the session"));
    } catch (error) {
      return this.#ended(error);
    } finally {
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
        return handler.onAssignments(message.value);
      case "statusesAck":
        return outbox.acknowledge(message.value.batch);
      case "startLogs":
        return handler.onStartLogs(calls, message.value);
      case "stopLogs":
        return handler.onStopLogs(message.value.requestId);
      case "startExec":
        return handler.onStartExec(calls, message.value);
      case "stopExec":
        return handler.onStopExec(message.value.requestId);
      case undefined:
        // A newer leader says something that this agent does not know yet.
        return;
    }
  }

  #join(welcome: Welcome): void {
    const { outbox, handler } = this.#options;
    this.#welcome = welcome;
    outbox.repeatAll();
    this.#outgoing.join();
    this.#heartbeats = new Heartbeats({
      intervalMs: welcome.heartbeatMs,
      onBeat: (lagMs) => this.#outgoing.beat({ appliedSequence: handler.appliedSequence(), lagMs }),
    });
    this.#repeatTimer = setInterval(() => {
      outbox.repeatUnacked();
      if (outbox.hasUnsent) this.#outgoing.statusesChanged();
    }, REPEAT_AFTER_MS);
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
      return { kind: "not-leader", leader: error.details.leader ?? "", servers };
    }
    const reason = error instanceof Error ? error.message : String(error);
    return { kind: "lost", wasJoined: this.#welcome !== undefined, reason, servers };
  }
}

function silent(address: string): BerthError {
  return new BerthError({
    code: "BERTH_SERVER_UNREACHABLE",
    message: `the server at ${address} did not answer within ${WELCOME_TIMEOUT_MS / 1_000} s`,
  });
}
