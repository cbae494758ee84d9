import { setTimeout as sleep } from "node:timers/promises";
import { BerthError, isBerthError, type SessionResponse, scaleTiming, type Welcome } from "@berth/proto";
import type { Probe } from "@berth/proto/probe";
import type { Ticker } from "../runtime/ticker.js";
import type { Fence } from "./fence.js";
import { HeartbeatTimer } from "./heartbeat-timer.js";
import { waitForHostLoss } from "./leader-host.js";
import { LeaderSilence } from "./leader-silence.js";
import type { Refusal, SessionEnd } from "./next-attempt.js";
import type { Reply, SendQueue } from "./send-queue.js";
import type { DispatcherClient, SessionCall } from "./session-call.js";

/** Timeout for the leader's welcome. Longer than a server that is not the leader waits for one before it responds. */
const WELCOME_TIMEOUT_MS = scaleTiming(3_000);
/** Time for the leader to read the last statuses of a stopping agent. */
const CLOSE_GRACE_MS = 500;
/**
 * Time after which unacknowledged statuses are sent again. The leader acknowledges them within milliseconds unless it
 * has lost its connection to etcd.
 */
const RESEND_AFTER_MS = 5_000;

export type LeaderMessage = NonNullable<SessionResponse["message"]>;

/** Handles the leader's messages. Errors end the session. */
export interface SessionHandler {
  handle(message: LeaderMessage, session: ActiveSession): void | Promise<void>;
  /** Called when the session has ended. The next one can follow on the same connection. */
  onSessionEnd(): void;
  /** Called when the connection to a leader has ended. The streams that the leader opened have ended too. */
  onConnectionEnd(): void;
}

/** The operations that a handler may use on the session on which a message arrived. */
export interface ActiveSession {
  /** Calls to the same server, for streams beside the session. */
  readonly calls: DispatcherClient;
  /** When the call was started, by `performance.now()`. */
  readonly startedMs: number;
  /** Starts the heartbeats: this server is the leader and has accepted the node. */
  join(welcome: Welcome): void;
  /** @throws BerthError BERTH_PROTOCOL unless the leader has welcomed this node */
  requireWelcome(): void;
  setHeartbeatInterval(intervalMs: number): void;
  /** Sends an extra heartbeat. */
  sendHeartbeat(): void;
  /** Sends the reply once it is known, unless it is undefined or the session has ended by then. */
  reply(reply: Promise<Reply | undefined>): void;
}

export interface SessionOptions {
  /** "host:port" of the server. */
  readonly address: string;
  readonly calls: DispatcherClient;
  /** The call of this session, which has sent the hello. */
  readonly call: SessionCall;
  readonly probe: Probe;
  readonly ticker: Ticker;
  readonly queue: SendQueue;
  readonly handler: SessionHandler;
  /** Called when the leader accepts the session. */
  readonly onWelcome: () => void;
  readonly fence: Pick<Fence, "heartbeatNumber">;
  /** Returns the sequence up to which assignments are applied. */
  readonly appliedSequence: () => number;
  /** Ends the session after all pending messages were sent. */
  readonly signal: AbortSignal;
}

/** One session with one server: dispatches the server's messages, and detects the loss of the leader. */
export class Session {
  readonly #options: SessionOptions;
  readonly #welcomeTimeout: BerthError;
  /** Ends the session when it is aborted. */
  readonly #call: SessionCall;
  #hasEnded = false;
  #welcome: Welcome | undefined;
  #heartbeats: HeartbeatTimer | undefined;
  #silence: LeaderSilence | undefined;
  #resendTimer: NodeJS.Timeout | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#welcomeTimeout = noWelcomeError(options.address);
    this.#call = options.call;
  }

  /** Whether the leader has accepted the session. */
  get isWelcomed(): boolean {
    return this.#welcome !== undefined;
  }

  /** Runs the session to its end and returns why it ended. Never rejects. */
  async run(): Promise<SessionEnd> {
    const { address, probe, ticker, queue, handler, signal } = this.#options;
    const onSignal = (): void => void this.#close();
    signal.addEventListener("abort", onSignal, { once: true });
    const welcomeTimer = setTimeout(() => this.#call.abort(this.#welcomeTimeout), WELCOME_TIMEOUT_MS);
    const hostWatch = new AbortController();
    void waitForHostLoss({ address, probe, ticker }, hostWatch.signal).then((isLost) => {
      if (isLost) this.#call.abort(hostLostError(address));
    });
    try {
      const session = this.#activeSession();
      for await (const { message } of this.#call.responses(queue.openSession(this.#call.hello))) {
        this.#silence?.recordMessage(performance.now());
        // Undefined when a newer leader sends a message that this agent does not know.
        if (message !== undefined) await handler.handle(message, session);
        if (this.#welcome !== undefined) clearTimeout(welcomeTimer);
      }
      return this.#sessionEnd(new Error("the server closed the session"));
    } catch (error) {
      return this.#sessionEnd(error);
    } finally {
      this.#hasEnded = true;
      hostWatch.abort();
      clearTimeout(welcomeTimer);
      clearInterval(this.#resendTimer);
      this.#heartbeats?.stop();
      queue.closeSession();
      handler.onSessionEnd();
      signal.removeEventListener("abort", onSignal);
    }
  }

  /** Returns the operations of this session for its handler. */
  #activeSession(): ActiveSession {
    return {
      calls: this.#options.calls,
      startedMs: this.#call.startedMs,
      join: (welcome) => this.#join(welcome),
      requireWelcome: () => this.#requireWelcome(),
      setHeartbeatInterval: (intervalMs) => this.#heartbeats?.setInterval(intervalMs),
      sendHeartbeat: () => this.#heartbeats?.sendNow(),
      reply: (reply) => void this.#reply(reply),
    };
  }

  #join(welcome: Welcome): void {
    const { queue, ticker, onWelcome } = this.#options;
    this.#welcome = welcome;
    onWelcome();
    queue.onWelcome();
    this.#silence = new LeaderSilence(performance.now());
    this.#heartbeats = new HeartbeatTimer({
      intervalMs: welcome.heartbeatMs,
      ticker,
      onHeartbeat: (lagMs, intervalMs) => this.#sendHeartbeat(lagMs, intervalMs),
    });
    this.#resendTimer = setInterval(() => queue.markUnacknowledgedUnsent(), RESEND_AFTER_MS);
  }

  #requireWelcome(): void {
    if (this.#welcome !== undefined) return;
    throw new BerthError({
      code: "BERTH_PROTOCOL",
      message: "the server sent assignments before its welcome",
    });
  }

  #sendHeartbeat(lagMs: number, intervalMs: number): void {
    const { queue, fence, appliedSequence, address } = this.#options;
    const nowMs = performance.now();
    const decision = this.#silence?.onHeartbeat({ nowMs, lagMs, intervalMs });
    if (decision?.isSilent === true) this.#call.abort(silentLeaderError(address));
    const number = fence.heartbeatNumber() || (decision?.requestsAck === true ? Math.floor(nowMs) : 0);
    queue.sendHeartbeat({ appliedSequence: appliedSequence(), lagMs, number });
  }

  async #reply(pending: Promise<Reply | undefined>): Promise<void> {
    const reply = await pending;
    if (reply !== undefined && !this.#hasEnded) this.#options.queue.reply(reply);
  }

  async #close(): Promise<void> {
    this.#options.queue.closeSession();
    await sleep(CLOSE_GRACE_MS, undefined, { ref: false });
    this.#call.abort(this.#options.signal.reason);
  }

  /** Returns why the session ended, from the error of the call. */
  #sessionEnd(error: unknown): SessionEnd {
    if (isBerthError(error, "BERTH_NOT_LEADER")) {
      const afterMs = performance.now() - this.#call.startedMs;
      return { kind: "not-leader", leader: error.details.leader ?? "", afterMs };
    }
    const reason = error instanceof Error ? error.message : String(error);
    const refusal = refusalOf(error);
    if (refusal !== undefined) return { kind: "refused", refusal, reason };
    const joinedHeartbeatMs = this.#welcome?.heartbeatMs;
    const isUnanswered = error === this.#welcomeTimeout;
    return { kind: "lost", joinedHeartbeatMs, reason, hasExpired: isExpiry(error), isUnanswered };
  }
}

/** Returns why the leader refuses this node, or undefined for another error. */
function refusalOf(error: unknown): Refusal | undefined {
  if (isBerthError(error, "BERTH_NODE_NOT_ACCEPTED")) return "awaits-approval";
  const isRevoked = isBerthError(error, "BERTH_UNAUTHENTICATED") && error.details.reason === "revoked";
  return isRevoked || isBerthError(error, "BERTH_NOT_FOUND") ? "removed" : undefined;
}

function isExpiry(error: unknown): boolean {
  return isBerthError(error, "BERTH_UNAUTHENTICATED") && error.details.reason === "expired";
}

function noWelcomeError(address: string): BerthError {
  return unreachableError(`server ${address} did not respond within ${WELCOME_TIMEOUT_MS / 1_000} s`);
}

function silentLeaderError(address: string): BerthError {
  return unreachableError(`server ${address} is connected but no longer sends anything`);
}

function hostLostError(address: string): BerthError {
  return unreachableError(`the host of server ${address} does not respond`);
}

function unreachableError(message: string): BerthError {
  return new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message });
}
