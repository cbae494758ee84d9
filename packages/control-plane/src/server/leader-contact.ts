import { PeerServiceService } from "@berth/proto";
import type { RpcHandlers, RpcTransport } from "@berth/proto/rpc";
import type { Logger } from "pino";
import { onAbort } from "../runtime/abort.js";
import { type Clock, sleep } from "../runtime/clock.js";
import type { Leader } from "../store/election.js";
import type { TcpProbe } from "./probe-tcp.js";
import { addressIn } from "./server-registry.js";

/** Often enough for a lost host to be missed within 1.2 s; each costs the leader a connection. */
const EVERY_MS = 400;

/** An answer takes a fraction of a millisecond in a LAN; it is the kernel's, so a busy host is no slower. */
const KNOCK_TIMEOUT_MS = 200;

/** 0.8 s in which four connections in a row got no answer at all. */
const SILENCES_OF_DEATH = 4;

/** From then on calls wait for another leader instead of being passed on to this one. */
const SILENCES_OF_DOUBT = 2;

/** A refusal is certain; the second one is for who restarts a proxy between the servers. */
const REFUSALS_OF_DEATH = 2;
const REFUSED_RETRY_MS = 50;

/** A connection that ends at once, again and again, is no reason to knock without pause. */
const MIN_PAUSE_MS = 50;

export interface LeaderContactOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly probeTcp: TcpProbe;
  /** What this server stands for election with: a leader with the same value is an earlier run of it. */
  readonly self: string;
  /** Whether the other servers miss the leader, too: else silence is the fault of one link, or of our own. */
  readonly havePeersLostLeader: (leader: Leader, signal: AbortSignal) => Promise<boolean>;
  /** Told whenever it becomes doubtful, or certain again, that the leader answers. */
  readonly onSuspicion: (isDoubtful: boolean) => void;
}

/**
 * A follower's own knowledge of the leader's life, which is faster than the leader's lease:
 *
 * | what happened to the leader    | what a follower sees               | key removed after             |
 * |--------------------------------|------------------------------------|-------------------------------|
 * | process killed                 | connection ends, then refusals     | 0.1 s                         |
 * | host lost, cable pulled        | silence, to all servers            | 0.8-1.2 s                     |
 * | one link broken                | silence, but others hear it        | not; it goes on leading       |
 * | this server cut off            | silence, and no other to ask       | not by this server            |
 * | stopped, hangs                 | answers: its kernel lives          | its lease's time to live      |
 * | its etcd gone, not the others  | nothing: it asks their etcds       | not; it goes on leading       |
 *
 * A leader that is taken for dead and lives has lost its key, so its next write is refused and it steps down.
 */
export class LeaderContact {
  readonly #options: LeaderContactOptions;
  #heard: { readonly epoch: bigint; readonly atMs: number } | undefined;
  /** Silences in a row, of one leader: who asks again after etcd did not answer need not wait for them again. */
  #silence: { readonly epoch: bigint; readonly count: number } | undefined;
  #isDoubtful = false;
  /** The last leader whose death was logged. */
  #declared: bigint | undefined;

  constructor(options: LeaderContactOptions) {
    this.#options = options;
  }

  /** Whether this leader's host has answered here within `withinMs`. */
  hasHeardFrom(epoch: bigint, withinMs: number): boolean {
    const heard = this.#heard;
    return heard?.epoch === epoch && this.#options.clock.nowMs() - heard.atMs <= withinMs;
  }

  /** Resolves when the leader is dead for certain, and when `signal` aborts. */
  async untilDead(leader: Leader, signal: AbortSignal): Promise<void> {
    const { self, logger } = this.#options;
    const address = addressIn(leader.value);
    // Two processes of a host cannot listen at one address: a leader that was here is our own past.
    if (leader.value === self) return;
    if (address === undefined) return aborted(signal);
    if (this.#silence?.epoch !== leader.epoch) this.#doubt(false);
    const how = await this.#untilDead(leader, address, signal);
    if (how === undefined || this.#declared === leader.epoch) return;
    this.#declared = leader.epoch;
    logger.warn({ leader: address, epoch: String(leader.epoch) }, how);
  }

  /** What the leader died of; undefined when `signal` aborts. */
  async #untilDead(leader: Leader, address: string, signal: AbortSignal): Promise<string | undefined> {
    const { clock, probeTcp: knock, havePeersLostLeader: isMissedByOthers } = this.#options;
    let refusals = 0;
    let silences = this.#silence?.epoch === leader.epoch ? this.#silence.count : 0;
    while (!signal.aborted) {
      const result = await knock(address, KNOCK_TIMEOUT_MS, signal);
      if (signal.aborted) {
        if (result.kind === "open") result.close();
        return undefined;
      }
      if (result.kind === "open") {
        refusals = 0;
        silences = 0;
        this.#silence = undefined;
        this.#heard = { epoch: leader.epoch, atMs: clock.nowMs() };
        this.#doubt(false);
        await sleep(clock, MIN_PAUSE_MS, signal);
        await this.#whileOpen(result.closed, signal);
        result.close();
      } else if (result.kind === "refused") {
        refusals += 1;
        this.#doubt(true);
        if (refusals >= REFUSALS_OF_DEATH) return "the leader's process is gone";
        await sleep(clock, REFUSED_RETRY_MS, signal);
      } else {
        silences += 1;
        this.#silence = { epoch: leader.epoch, count: silences };
        this.#doubt(silences >= SILENCES_OF_DOUBT);
        if (silences < SILENCES_OF_DEATH) continue;
        if (await isMissedByOthers(leader, signal)) return "the leader's host is silent";
      }
    }
    return undefined;
  }

  /** Until it is time to knock again, or the connection ends: a process that is killed shows at once. */
  async #whileOpen(closed: Promise<void>, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const forget = onAbort(signal, () => over.abort());
    void closed.then(() => over.abort());
    await sleep(this.#options.clock, EVERY_MS - MIN_PAUSE_MS, over.signal);
    forget();
  }

  #doubt(isDoubtful: boolean): void {
    if (isDoubtful === this.#isDoubtful) return;
    this.#isDoubtful = isDoubtful;
    this.#options.onSuspicion(isDoubtful);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    onAbort(signal, resolve);
  });
}

/** A server that takes longer to say what it knows is in no state to be asked. */
const ANSWER_TIMEOUT_MS = 400;

/** Whether this server is that leader, or hears it. */
export type CheckLeader = (epoch: bigint) => boolean;

/** The Peer service of every server. */
export function peerHandlers(hears: CheckLeader): RpcHandlers<typeof PeerServiceService> {
  return { checkLeader: async ({ epoch }) => ({ reachable: hears(BigInt(epoch)) }) };
}

export interface AskPeersOptions {
  readonly transport: RpcTransport;
  /** Addresses of the servers to ask. */
  readonly peers: readonly string[];
  readonly leader: Leader;
}

/**
 * Whether the other servers do not hear the leader either. If none of them answers, this server is the one that is cut
 * off; only where there are no others its own word is enough.
 */
export async function havePeersLostLeader(
  { transport, peers, leader }: AskPeersOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const answers = await Promise.all(
    peers.map(async (address) => {
      const connection = transport.connect(PeerServiceService, { address });
      const request = { epoch: Number(leader.epoch) };
      try {
        const { reachable: hears } = await connection.calls.checkLeader(request, {
          signal,
          timeoutMs: ANSWER_TIMEOUT_MS,
        });
        return [hears];
      } catch {
        return [];
      } finally {
        connection.close();
      }
    }),
  );
  const given = answers.flat();
  return peers.length === 0 || (given.length > 0 && !given.includes(true));
}
