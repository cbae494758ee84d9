import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { assertNever, type Hello, PROTOCOL_FIELDS, TIMING_SCALE } from "@berth/proto";
import type { RpcTransport } from "@berth/proto/rpc";
import type { Logger } from "pino";
import { type Attempt, firstAttempt, nextAttempt, type SessionEnd } from "./next-attempt.js";
import { type AttemptOutcome, ServerConnections } from "./server-connections.js";
import { Session, type SessionOptions } from "./session.js";
import { SessionCall } from "./session-call.js";
import { type Renewals, SessionHandover } from "./session-handover.js";

export interface LeaderLinkOptions
  extends Omit<SessionOptions, "address" | "calls" | "call" | "onWelcome" | "signal"> {
  readonly transport: RpcTransport;
  /** Undefined if connections have no certificates. */
  readonly renewals?: Renewals | undefined;
  /** Addresses of servers, in the order in which to try them. */
  readonly servers: readonly string[];
  /** Returns the addresses of the servers that the last leader reported. */
  readonly reportedServers: () => readonly string[];
  readonly nodeId: string;
  /** Returns the highest generation of the cluster that this node has joined. */
  readonly generation: () => number;
  /** Whether this node transfers images. */
  readonly transfersImages: boolean;
  readonly log: Logger;
}

/** Keeps a session with the leader open: when one ends, finds the leader and opens the next. */
export class LeaderLink {
  readonly #options: LeaderLinkOptions;
  readonly #connections: ServerConnections;
  readonly #bootId = randomUUID();
  #lastReason = "";

  constructor(options: LeaderLinkOptions) {
    this.#options = options;
    this.#connections = new ServerConnections(options.transport);
  }

  /** Keeps a session open until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    let attempt = firstAttempt(this.#options.servers);
    while (!signal.aborted) {
      attempt = await this.#runAttempt(attempt, signal);
      // An abort ends the pause early, and the loop.
      await sleep(attempt.delayMs, undefined, { signal }).catch(() => {});
    }
    this.#connections.closeAll();
  }

  async #runAttempt(attempt: Attempt, signal: AbortSignal): Promise<Attempt> {
    const { handler } = this.#options;
    const { address } = attempt;
    const { end, wasWelcomed } = await this.#runSessions(address, signal);
    if (!signal.aborted) this.#logEnd(address, end);
    this.#connections.recordOutcome(address, wasWelcomed ? "ended" : outcomeOf(end));
    if (wasWelcomed) handler.onConnectionEnd();
    return nextAttempt(attempt, end, { reported: this.#options.reportedServers(), rng: Math.random });
  }

  /**
   * Runs a session, and a new one after each renewal of the certificate. Returns why the last session ended, and
   * whether the server was the leader.
   */
  async #runSessions(
    address: string,
    signal: AbortSignal,
  ): Promise<{ readonly end: SessionEnd; readonly wasWelcomed: boolean }> {
    const { renewals, log } = this.#options;
    const calls = this.#connections.callsTo(address);
    let wasWelcomed = false;
    const onWelcome = (): void => {
      wasWelcomed = true;
      this.#connections.closeOthers(address);
    };
    const open = (): SessionCall => new SessionCall(calls, this.#hello());
    for (let call = open(); ; ) {
      const session = new Session({ ...this.#options, address, calls, call, onWelcome, signal });
      const handover = new SessionHandover({ renewals, isWelcomed: () => session.isWelcomed, open });
      const end = await session.run();
      const next = await handover.take();
      if (next === undefined) return { end, wasWelcomed };
      if (signal.aborted) {
        next.abort(signal.reason);
        return { end, wasWelcomed };
      }
      log.info({ server: address }, "session continues with the renewed certificate");
      call = next;
    }
  }

  #hello(): Hello {
    const { nodeId, queue, generation } = this.#options;
    const { description } = queue;
    return {
      nodeId,
      ...PROTOCOL_FIELDS,
      description,
      bootId: this.#bootId,
      resolvesImages: true,
      timingScale: TIMING_SCALE,
      transfersImages: this.#options.transfersImages,
      generation: generation(),
    };
  }

  #logEnd(server: string, end: SessionEnd): void {
    if (end.kind === "refused") this.#logRefusal(end);
    if (end.kind !== "lost") return;
    const hadJoined = end.joinedHeartbeatMs !== undefined;
    if (hadJoined && end.hasExpired === true) {
      this.#options.log.info(
        { server },
        "session ended when its certificate expired; opening a session with the renewed certificate",
      );
    } else {
      this.#logLoss(server, end.reason, hadJoined);
    }
  }

  /** Logs what the administrator must do, once for each reason. */
  #logRefusal({ refusal, reason }: SessionEnd & { readonly kind: "refused" }): void {
    if (reason === this.#lastReason) return;
    this.#lastReason = reason;
    const { log, nodeId } = this.#options;
    const fields = { node: nodeId, reason };
    switch (refusal) {
      case "awaits-approval":
        log.warn(fields, "node awaits approval; the agent starts once it is accepted");
        break;
      case "removed":
        log.error(
          fields,
          'node was removed from the cluster; run "berth agent join ADDRESS --force" with a new token. Containers and published ports keep working',
        );
        break;
      default:
        assertNever(refusal);
    }
  }

  /** Logs the loss of a session. Repeated failures to connect are logged once for each reason. */
  #logLoss(server: string, reason: string, hadJoined: boolean): void {
    if (!hadJoined && reason === this.#lastReason) return;
    this.#lastReason = reason;
    const message = hadJoined ? "lost connection to leader" : "cannot connect to leader";
    this.#options.log.warn({ server, reason }, `${message}; containers and published ports keep working`);
  }
}

/** Returns the outcome of an attempt whose session was never accepted. */
function outcomeOf(end: SessionEnd): AttemptOutcome {
  if (end.kind !== "lost") return "answered";
  return end.isUnanswered === true ? "unanswered" : "ended";
}
