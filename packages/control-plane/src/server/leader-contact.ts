import { assertNever, scaleTiming } from "@berth/proto";
import type { Logger } from "pino";
import { linkSignals, untilAborted } from "../runtime/abort.js";
import { type Clock, sleep } from "../runtime/clock.js";
import type { LeaderRecord } from "../store/election.js";
import type { TcpProbe } from "./probe-tcp.js";
import { parseServerAddress } from "./server-registry.js";

/** Interval between two probes. Detects a lost host within 1.2 s. Each probe costs the leader one connection. */
const PROBE_INTERVAL_MS = scaleTiming(400);

/** Timeout of a probe. In a LAN, the kernel responds within a fraction of a millisecond, even on a busy host. */
const PROBE_TIMEOUT_MS = scaleTiming(200);

/** Number of consecutive timeouts after which the leader is dead: it has not responded for 0.8 s. */
const TIMEOUTS_UNTIL_DEAD = 4;

/** Number of consecutive timeouts after which calls wait for another leader instead of being forwarded. */
const TIMEOUTS_UNTIL_SUSPECT = 2;

/**
 * Number of consecutive refusals after which the leader is dead. A refusal proves that the process is gone; the second
 * one allows for a restarting proxy between the servers.
 */
const REFUSALS_UNTIL_DEAD = 2;
const REFUSED_RETRY_MS = 50;

/** Minimum time between two probes. Limits their rate when each connection ends at once. */
const MIN_PAUSE_MS = 50;

/** Time after its last response for which the leader counts as reachable. */
const CONTACT_VALID_MS = scaleTiming(700);

export interface LeaderContactOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly probeTcp: TcpProbe;
  /** Returns whether the other servers have lost the leader as well. If not, only a link or this server has failed. */
  readonly havePeersLostLeader: (leader: LeaderRecord, signal: AbortSignal) => Promise<boolean>;
  /** Called when the leader becomes suspect, and when it responds again. */
  readonly onSuspicion: (isSuspect: boolean) => void;
}

/**
 * Probes the leader from a follower, and detects the leader's death before its lease expires:
 *
 * | what happened to the leader    | what a follower sees                     | leader key deleted after    |
 * |--------------------------------|------------------------------------------|-----------------------------|
 * | process killed                 | connection ends, then refusals           | 0.1 s                       |
 * | host lost, cable pulled        | timeouts on all servers                  | 0.8-1.2 s                   |
 * | one link broken                | timeouts here, but peers are in contact  | never; it stays the leader  |
 * | this server cut off            | timeouts, and no peer answers            | never by this server        |
 * | process stopped or hanging     | accepted connections: its kernel is up   | its lease's time to live    |
 * | its etcd member lost           | nothing: it uses the other members       | never; it stays the leader  |
 *
 * If the leader is alive after all, the deletion of its key makes etcd refuse its next write, and it steps down.
 */
export class LeaderContact {
  readonly #options: LeaderContactOptions;
  #lastContact: { readonly epoch: bigint; readonly atMs: number } | undefined;
  /** Timeouts in a row. Kept between calls of `untilDead`, so that a failed deletion of the key is retried at once. */
  #timeouts: { readonly epoch: bigint; readonly count: number } | undefined;
  #isSuspect = false;
  /** The last leader whose death was logged. */
  #loggedEpoch: bigint | undefined;

  constructor(options: LeaderContactOptions) {
    this.#options = options;
  }

  /** Returns whether the leader of this epoch has responded to this server recently. */
  isInContact(epoch: bigint): boolean {
    const contact = this.#lastContact;
    return contact?.epoch === epoch && this.#options.clock.nowMs() - contact.atMs <= CONTACT_VALID_MS;
  }

  /** Resolves when the leader is certainly dead, or when `signal` is aborted. */
  async untilDead(leader: LeaderRecord, signal: AbortSignal): Promise<void> {
    const { logger } = this.#options;
    const address = parseServerAddress(leader.value);
    if (address === undefined) return untilAborted(signal);
    if (this.#timeouts?.epoch !== leader.epoch) this.#setSuspect(false);
    const cause = await this.#probeUntilDead(leader, address, signal);
    if (cause === undefined || this.#loggedEpoch === leader.epoch) return;
    this.#loggedEpoch = leader.epoch;
    logger.warn({ leader: address, epoch: String(leader.epoch) }, `leader is dead: ${cause}`);
  }

  /** Returns the cause of death, or undefined if `signal` is aborted. */
  async #probeUntilDead(
    leader: LeaderRecord,
    address: string,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { clock, probeTcp, havePeersLostLeader } = this.#options;
    let refusals = 0;
    while (!signal.aborted) {
      const result = await probeTcp(address, PROBE_TIMEOUT_MS, signal);
      if (signal.aborted) {
        if (result.kind === "open") result.close();
        return undefined;
      }
      switch (result.kind) {
        case "open":
          refusals = 0;
          this.#recordContact(leader.epoch);
          await this.#untilNextProbe(result.closed, signal);
          result.close();
          break;
        case "refused":
          refusals += 1;
          this.#setSuspect(true);
          if (refusals >= REFUSALS_UNTIL_DEAD) return "connection refused";
          await sleep(clock, REFUSED_RETRY_MS, signal);
          break;
        case "timeout":
          if (this.#recordTimeout(leader.epoch) < TIMEOUTS_UNTIL_DEAD) break;
          if (await havePeersLostLeader(leader, signal)) return "its host does not respond";
          break;
        default:
          assertNever(result);
      }
    }
    return undefined;
  }

  #recordContact(epoch: bigint): void {
    this.#timeouts = undefined;
    this.#lastContact = { epoch, atMs: this.#options.clock.nowMs() };
    this.#setSuspect(false);
  }

  /** Records a timeout. Returns the number of timeouts in a row. */
  #recordTimeout(epoch: bigint): number {
    const count = this.#timeouts?.epoch === epoch ? this.#timeouts.count + 1 : 1;
    this.#timeouts = { epoch, count };
    this.#setSuspect(count >= TIMEOUTS_UNTIL_SUSPECT);
    return count;
  }

  /** Waits for the next probe. A killed process ends its connections, so the next probe follows almost at once. */
  async #untilNextProbe(closed: Promise<void>, signal: AbortSignal): Promise<void> {
    await sleep(this.#options.clock, MIN_PAUSE_MS, signal);
    const link = linkSignals(signal);
    void closed.then(() => link.abort());
    await sleep(this.#options.clock, PROBE_INTERVAL_MS - MIN_PAUSE_MS, link.signal);
    link.unlink();
  }

  #setSuspect(isSuspect: boolean): void {
    if (isSuspect === this.#isSuspect) return;
    this.#isSuspect = isSuspect;
    this.#options.onSuspicion(isSuspect);
  }
}
