import {
  ASK_PEERS_AFTER_MS,
  PROBE_ROUND_MS,
  PROBE_TRIES,
  PROBE_TRY_MS,
  type ProbeRequest,
  type ProbeResult,
} from "@berth/proto";
import { PROBE_PORT, type Probe } from "@berth/proto/probe";
import { chooseVoters, type ProbeVotes } from "../core/node-health/probe-votes.js";
import { onAbort } from "../runtime/abort.js";
import type { Runtime } from "../runtime/runtime.js";

/**
 * Maximum number of concurrent rounds. If more hosts become unreachable at once, the leader's own network has failed.
 */
const MAX_CONCURRENT = 64;

export interface ProbeRoundsOptions {
  readonly probe: Probe;
  readonly runtime: Pick<Runtime, "clock" | "random" | "newId">;
  /** Returns the other nodes whose heartbeats are on time. */
  readonly livePeers: (nodeId: string) => readonly string[];
  /** Sends a request to a peer's agent. Returns false when the agent is not connected. */
  readonly sendProbeRequest: (peerId: string, request: ProbeRequest) => boolean;
  readonly onVotes: (nodeId: string, votes: ProbeVotes) => void;
}

/** The host to probe. */
export interface ProbeRoundTarget {
  readonly address: string;
  /** Whether to ask the peers at once, because every voter failed to reach the host in the last round. */
  readonly askPeersAtOnce: boolean;
}

/** A running round. */
interface Round {
  readonly nodeId: string;
  readonly requestId: string;
  readonly address: string;
  /** Aborts when the round ends. */
  readonly ended: AbortController;
  /** Whether the host responded, by voter. */
  readonly answers: Map<string, boolean>;
  /** IDs of the voters. Undefined until the peers have been chosen. */
  voters: readonly string[] | undefined;
}

/** Voter ID of the leader. IDs of peers are never empty. */
const LEADER_VOTER = "";

/**
 * Probes unresponsive hosts, at most one round per host at a time.
 *
 * The leader probes the host first. If the host does not respond soon, some of its peers probe it as well. The round
 * ends with the leader's success, all votes or the timeout.
 */
export class ProbeRounds {
  readonly #options: ProbeRoundsOptions;
  readonly #rounds = new Map<string, Round>();
  readonly #nodeByRequest = new Map<string, string>();
  readonly #waiting = new Map<string, ProbeRoundTarget>();

  constructor(options: ProbeRoundsOptions) {
    this.#options = options;
  }

  /** Starts a round, or queues it while too many are running. Has no effect while a round of this host is running. */
  start(nodeId: string, target: ProbeRoundTarget): void {
    if (this.#rounds.has(nodeId)) return;
    if (this.#rounds.size < MAX_CONCURRENT) {
      this.#run(nodeId, target);
    } else {
      this.#waiting.set(nodeId, target);
    }
  }

  /** Ends the round of a host without votes, because its agent was heard or the node was removed. */
  cancel(nodeId: string): void {
    this.#waiting.delete(nodeId);
    const round = this.#rounds.get(nodeId);
    if (round !== undefined) this.#end(round);
  }

  /** Records the vote of a peer. Ignores late and unsolicited results. */
  recordResult(peerId: string, { requestId, answered }: ProbeResult): void {
    const nodeId = this.#nodeByRequest.get(requestId);
    const round = nodeId === undefined ? undefined : this.#rounds.get(nodeId);
    if (round?.voters?.includes(peerId)) this.#recordVote(round, peerId, answered);
  }

  /** Ends all rounds without votes. */
  close(): void {
    this.#waiting.clear();
    for (const round of [...this.#rounds.values()]) this.#end(round);
  }

  #run(nodeId: string, { address, askPeersAtOnce }: ProbeRoundTarget): void {
    const { clock, newId } = this.#options.runtime;
    const ended = new AbortController();
    const round: Round = {
      nodeId,
      requestId: newId(),
      address,
      ended,
      answers: new Map(),
      voters: undefined,
    };
    this.#rounds.set(nodeId, round);
    this.#nodeByRequest.set(round.requestId, nodeId);
    const askPeersAfterMs = askPeersAtOnce ? 0 : ASK_PEERS_AFTER_MS;
    const cancelAsk = clock.after(askPeersAfterMs, () => this.#askPeers(round));
    const cancelTimeout = clock.after(PROBE_ROUND_MS, () => this.#conclude(round, countVotes(round)));
    onAbort(ended.signal, cancelAsk);
    onAbort(ended.signal, cancelTimeout);
    void this.#probe(round);
  }

  async #probe(round: Round): Promise<void> {
    const { address } = round;
    const target = { address, port: PROBE_PORT, tries: PROBE_TRIES, tryMs: PROBE_TRY_MS };
    const answered = await this.#options.probe(target, round.ended.signal);
    if (answered) {
      this.#conclude(round, { asked: 1, silent: 0, alive: 1 });
    } else {
      this.#recordVote(round, LEADER_VOTER, false);
    }
  }

  #askPeers(round: Round): void {
    const { livePeers, sendProbeRequest, runtime } = this.#options;
    const { nodeId, requestId, address } = round;
    const { peers, includesServer } = chooseVoters(livePeers(nodeId), () => runtime.random());
    const askedPeers = peers.filter((peerId) =>
      sendProbeRequest(peerId, { requestId, address, port: PROBE_PORT }),
    );
    round.voters = includesServer || askedPeers.length === 0 ? [...askedPeers, LEADER_VOTER] : askedPeers;
    this.#concludeWhenComplete(round);
  }

  #recordVote(round: Round, voter: string, answered: boolean): void {
    round.answers.set(voter, answered);
    this.#concludeWhenComplete(round);
  }

  #concludeWhenComplete(round: Round): void {
    if (round.voters?.every((voter) => round.answers.has(voter))) this.#conclude(round, countVotes(round));
  }

  #conclude(round: Round, votes: ProbeVotes): void {
    if (round.ended.signal.aborted) return;
    this.#end(round);
    this.#options.onVotes(round.nodeId, votes);
  }

  #end(round: Round): void {
    round.ended.abort();
    this.#rounds.delete(round.nodeId);
    this.#nodeByRequest.delete(round.requestId);
    this.#runNext();
  }

  #runNext(): void {
    for (const [nodeId, target] of this.#waiting) {
      this.#waiting.delete(nodeId);
      this.#run(nodeId, target);
      return;
    }
  }
}

function countVotes({ voters = [], answers }: Round): ProbeVotes {
  const count = (answer: boolean): number => voters.filter((voter) => answers.get(voter) === answer).length;
  return { asked: voters.length, silent: count(false), alive: count(true) };
}
