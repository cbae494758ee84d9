import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { assertNever, DispatcherServiceService, type Hello, PROTOCOL_FIELDS } from "@berth/proto";
import type { RpcTransport } from "@berth/proto/rpc";
import type { Logger } from "pino";
import { type Attempt, firstAttempt, nextAttempt, type SessionEnd } from "./next-attempt.js";
import { Session, type SessionOptions } from "./session.js";
import { type DispatcherCalls, SessionCall } from "./session-call.js";
import { type Renewals, SessionHandover } from "./session-handover.js";

export interface LeaderLinkOptions extends Omit<SessionOptions, "address" | "calls" | "call" | "signal"> {
  readonly transport: RpcTransport;
  /** Undefined when connections have no certificates. */
  readonly renewals?: Renewals | undefined;
  /** Addresses of servers, in the order in which to try them. */
  readonly servers: readonly string[];
  readonly nodeId: string;
  readonly log: Logger;
}

/** Keeps a session with the leader open: when one ends, finds the leader and opens the next. */
export class LeaderLink {
  readonly #options: LeaderLinkOptions;
  readonly #bootId = randomUUID();
  #lastReason = "";

  constructor(options: LeaderLinkOptions) {
    this.#options = options;
  }

  /** Runs until the signal fires. */
  async run(signal: AbortSignal): Promise<void> {
    let attempt = firstAttempt(this.#options.servers);
    while (!signal.aborted) {
      attempt = await this.#runConnection(attempt, signal);
      await sleep(attempt.delayMs, undefined, { signal }).catch(() => {});
    }
  }

  async #runConnection(attempt: Attempt, signal: AbortSignal): Promise<Attempt> {
    const { transport, handler } = this.#options;
    const { address } = attempt;
    const connection = transport.connect(DispatcherServiceService, { address });
    try {
      const end = await this.#runSessions(address, connection.calls, signal);
      if (!signal.aborted) this.#logEnd(address, end);
      return nextAttempt(attempt, end, Math.random);
    } finally {
      handler.onConnectionEnd();
      connection.close();
    }
  }

  /** Runs a session, and after each renewal of the certificate the next one. Returns why the last session ended. */
  async #runSessions(address: string, calls: DispatcherCalls, signal: AbortSignal): Promise<SessionEnd> {
    const { renewals, log } = this.#options;
    const open = (): SessionCall => new SessionCall(calls, this.#hello());
    for (let call = open(); ; ) {
      const session = new Session({ ...this.#options, address, calls, call, signal });
      const handover = new SessionHandover({ renewals, isWelcomed: () => session.isWelcomed, open });
      const end = await session.run();
      const next = await handover.take();
      if (next === undefined) return end;
      if (signal.aborted) {
        next.abort(signal.reason);
        return end;
      }
      log.info({ server: address }, "session continues with the renewed certificate");
      call = next;
    }
  }

  #hello(): Hello {
    const { nodeId, queue } = this.#options;
    const { description } = queue;
    return { nodeId, ...PROTOCOL_FIELDS, description, bootId: this.#bootId };
  }

  #logEnd(server: string, end: SessionEnd): void {
    if (end.kind === "refused") this.#logRefusal(end);
    if (end.kind !== "lost") return;
    const hadJoined = end.joinedHeartbeatMs !== undefined;
    if (hadJoined && end.hasExpired === true) {
      this.#options.log.info(
        { server },
        "session ended with its certificate; opening one with the renewed one",
      );
    } else this.#logLoss(server, end.reason, hadJoined);
  }

  /** Logs once what the administrator has to do. */
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
          'node was removed from the cluster; run "berth agent join ADDRESS --force" with a new token. Containers and published ports stay as they are',
        );
        break;
      default:
        assertNever(refusal);
    }
  }

  /** Logs each new reason once, not once for each attempt. */
  #logLoss(server: string, reason: string, hadJoined: boolean): void {
    if (!hadJoined && reason === this.#lastReason) return;
    this.#lastReason = reason;
    const message = hadJoined ? "lost connection to leader" : "cannot connect to leader";
    this.#options.log.warn({ server, reason }, `${message}; containers and published ports stay as they are`);
  }
}
