import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type NodeDescription, PROTOCOL_VERSION, type UsageReport } from "@berth/proto";
import type { Probe } from "@berth/proto/probe";
import type { RpcTransport } from "@berth/proto/rpc";
import type { Logger } from "pino";
import type { Ticker } from "../runtime/ticker.js";
import { type Attempt, firstAttempt, nextAttempt } from "./next-attempt.js";
import { Session, type SessionHandler } from "./session.js";
import type { StatusOutbox } from "./status-outbox.js";

/** Where the link to the leader stands. */
export type LinkState =
  | { readonly kind: "waiting" }
  | { readonly kind: "open"; readonly address: string; readonly session: Session };

export interface LeaderLinkOptions {
  readonly servers: readonly string[];
  readonly nodeId: string;
  readonly description: NodeDescription;
  readonly transport: RpcTransport;
  readonly probe: Probe;
  readonly pulse: Ticker;
  readonly outbox: StatusOutbox;
  readonly handler: SessionHandler;
  readonly log: Logger;
}

/** Keeps a session with the leader, whoever that is: one after the other, for as long as the agent runs. */
export class LeaderLink {
  readonly #options: LeaderLinkOptions;
  readonly #bootId = randomUUID();
  #description: NodeDescription;
  #state: LinkState = { kind: "waiting" };
  #lastReason = "";

  constructor(options: LeaderLinkOptions) {
    this.#options = options;
    this.#description = options.description;
  }

  describe(description: NodeDescription): void {
    this.#description = description;
    if (this.#state.kind === "open") this.#state.session.describe(description);
  }

  statusesChanged(): void {
    if (this.#state.kind === "open") this.#state.session.statusesChanged();
  }

  /** Lost while there is no session: the next report says what is then. */
  used(report: UsageReport): void {
    if (this.#state.kind === "open") this.#state.session.used(report);
  }

  /** Until the signal fires. */
  async run(signal: AbortSignal): Promise<void> {
    let attempt = firstAttempt(this.#options.servers);
    while (!signal.aborted) {
      attempt = await this.#try(attempt, signal);
      await sleep(attempt.delayMs, undefined, { signal }).catch(() => {});
    }
  }

  async #try(attempt: Attempt, signal: AbortSignal): Promise<Attempt> {
    const { nodeId, transport, probe, pulse, outbox, handler, log } = this.#options;
    const { address } = attempt;
    const hello = {
      nodeId,
      protocolVersion: PROTOCOL_VERSION,
      description: this.#description,
      bootId: this.#bootId,
    };
    const session = new Session({ address, transport, probe, pulse, hello, outbox, handler, log, signal });
    this.#state = { kind: "open", address, session };
    const end = await session.run();
    this.#state = { kind: "waiting" };
    if (end.kind === "lost" && !signal.aborted)
      this.#logLoss(address, end.reason, end.joinedHeartbeatMs !== undefined);
    return nextAttempt(attempt, end, Math.random);
  }

  /** One line for each new reason, not one for each attempt. */
  #logLoss(address: string, reason: string, wasJoined: boolean): void {
    if (!wasJoined && reason === this.#lastReason) return;
    this.#lastReason = reason;
    this.#options.log.warn(
      { server: address, reason },
      "no session with the leader; everything here goes on as it is",
    );
  }
}
