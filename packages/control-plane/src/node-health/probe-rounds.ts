import type { ProbeRequest, ProbeResult } from "@berth/proto";
import { PROBE_PORT, type Probe } from "@berth/proto/probe";
import { chooseVoters, type ProbeVotes } from "../core/node-health/probe-votes.js";
import { onAbort } from "../runtime/abort.js";
import type { Runtime } from "../runtime/runtime.js";

/**
 * A live kernel answers within a millisecond. Seven tries before a host that is late counts as suspect: where one packet
 * of twenty is lost, a heartbeat comes 0.2 s late every five seconds, and one answer of ten is lost with its question. So
 * one of ten hosts is suspected wrongly once in two months; with two tries it was each of them once a minute.
 */
const TRIES = 20;
const TRY_MS = 15;

/**
 * What our own probe may take before others are asked: a busy host answers at once, and nobody else needs to know. In a
 * second round everybody is asked at once.
 */
const ASK_PEERS_AFTER_MS = 100;

/** Peers try for 0.3 s, too; the rest is for the way there and back. Who says nothing has no vote that counts. */
const ROUND_MS = 900;

/** Hosts asked after at a time; others wait their turn. When a thousand fall silent at once, it is our own cable. */
const MAX_ROUNDS = 64;

export interface ProbeRoundsOptions {
  readonly probe: Probe;
  readonly runtime: Pick<Runtime, "clock" | "random" | "newId">;
  /** Other nodes whose agents have been heard just now. */
  readonly livePeers: (nodeId: string) => readonly string[];
  /** Sends a question to a peer's agent; false: it has no session. */
  readonly ask: (peerId: string, request: ProbeRequest) => boolean;
  readonly onVotes: (nodeId: string, testimony: ProbeVotes) => void;
}

export interface Question {
  readonly address: string;
  /** The last round was the first one in which nobody reached the host: a second one is proof. */
  readonly isDoubtful: boolean;
}

interface Round {
  readonly nodeId: string;
  readonly requestId: string;
  readonly address: string;
  readonly over: AbortController;
  readonly answers: Map<string, boolean>;
  /** Whose answers count; undefined: it is not decided yet who is asked. */
  voters: readonly string[] | undefined;
}

/** Our own vote among those of the peers, whose ids are never empty. */
const SELF = "";

/** Asks after hosts that fell silent: this server probes them, and some of their peers do. One round a host at a time. */
export class ProbeRounds {
  readonly #options: ProbeRoundsOptions;
  readonly #rounds = new Map<string, Round>();
  readonly #nodeByRequest = new Map<string, string>();
  readonly #waiting = new Map<string, Question>();

  constructor(options: ProbeRoundsOptions) {
    this.#options = options;
  }

  /** Begins a round, unless one is under way or waits for its turn. */
  begin(nodeId: string, question: Question): void {
    if (this.#rounds.has(nodeId)) return;
    if (this.#rounds.size < MAX_ROUNDS) this.#start(nodeId, question);
    else this.#waiting.set(nodeId, question);
  }

  /** The host was heard: the question is void. */
  cancel(nodeId: string): void {
    this.#waiting.delete(nodeId);
    const round = this.#rounds.get(nodeId);
    if (round !== undefined) this.#end(round);
  }

  /** A peer's answer. One that comes too late, or that nobody asked for, is ignored. */
  answer(peerId: string, { requestId, answered }: ProbeResult): void {
    const round = this.#rounds.get(this.#nodeByRequest.get(requestId) ?? "");
    if (round?.voters?.includes(peerId)) this.#vote(round, peerId, answered);
  }

  close(): void {
    this.#waiting.clear();
    for (const round of [...this.#rounds.values()]) this.#end(round);
  }

  #start(nodeId: string, { address, isDoubtful }: Question): void {
    const { clock, newId } = this.#options.runtime;
    const over = new AbortController();
    const round = { nodeId, requestId: newId(), address, over, answers: new Map(), voters: undefined };
    this.#rounds.set(nodeId, round);
    this.#nodeByRequest.set(round.requestId, nodeId);
    onAbort(
      over.signal,
      clock.after(isDoubtful ? 0 : ASK_PEERS_AFTER_MS, () => this.#askPeers(round)),
    );
    onAbort(
      over.signal,
      clock.after(ROUND_MS, () => this.#conclude(round, testimonyOf(round))),
    );
    void this.#probe(round);
  }

  async #probe(round: Round): Promise<void> {
    const target = { address: round.address, port: PROBE_PORT, tries: TRIES, tryMs: TRY_MS };
    const answered = await this.#options.probe(target, round.over.signal);
    if (answered) this.#conclude(round, { asked: 1, silent: 0, alive: 1 });
    else this.#vote(round, SELF, false);
  }

  #askPeers(round: Round): void {
    const { livePeers, ask, runtime } = this.#options;
    const { nodeId, requestId, address } = round;
    const { peers, includesServer: withServer } = chooseVoters(livePeers(nodeId), () => runtime.random());
    const asked = peers.filter((peerId) => ask(peerId, { requestId, address, port: PROBE_PORT }));
    // Without anybody else who could tell, our own word is all there is.
    round.voters = withServer || asked.length === 0 ? [...asked, SELF] : asked;
    this.#concludeWhenComplete(round);
  }

  #vote(round: Round, voter: string, answered: boolean): void {
    round.answers.set(voter, answered);
    this.#concludeWhenComplete(round);
  }

  #concludeWhenComplete(round: Round): void {
    if (round.voters?.every((voter) => round.answers.has(voter))) this.#conclude(round, testimonyOf(round));
  }

  #conclude(round: Round, testimony: ProbeVotes): void {
    if (round.over.signal.aborted) return;
    this.#end(round);
    this.#options.onVotes(round.nodeId, testimony);
  }

  #end(round: Round): void {
    round.over.abort();
    this.#rounds.delete(round.nodeId);
    this.#nodeByRequest.delete(round.requestId);
    for (const [nodeId, question] of this.#waiting) {
      this.#waiting.delete(nodeId);
      this.#start(nodeId, question);
      return;
    }
  }
}

function testimonyOf({ voters = [], answers }: Round): ProbeVotes {
  const said = (answer: boolean): number => voters.filter((voter) => answers.get(voter) === answer).length;
  return { asked: voters.length, silent: said(false), alive: said(true) };
}
