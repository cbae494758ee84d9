import { setMaxListeners } from "node:events";
import type { Node } from "@berth/proto";
import { PROBE_PORT, type Probe } from "@berth/proto/probe";
import type { Logger } from "pino";
import type { Writer } from "../reconciler/writer.js";
import type { ClusterState } from "../state/cluster-state.js";

/** Limit of concurrent checks. After a takeover a thousand agents connect at once. */
const MAX_CONCURRENT = 16;

/** Longer than those of a probe round: a live host that does not answer within this time never does. */
const CHECK_TRIES = 3;
const CHECK_TRY_MS = 500;

export interface ProbeSupportOptions {
  readonly probe: Probe;
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly logger: Logger;
  /** Whether the node's heartbeats are arriving at present. */
  readonly isHeard: (nodeId: string) => boolean;
  readonly signal: AbortSignal;
}

/**
 * Finds out which hosts answer probes while their agents are heard. Silence of the others proves nothing.
 *
 * The result is stored with the node (`ignores_probes`), so that the next leader does not take such a node for dead.
 */
export class ProbeSupport {
  readonly #options: ProbeSupportOptions;
  /** Addresses to check, by node id. */
  readonly #waiting = new Map<string, string>();
  #running = 0;

  constructor(options: ProbeSupportOptions) {
    this.#options = options;
    // Each probe listens for the end of the term.
    setMaxListeners(0, options.signal);
  }

  enqueueCheck(nodeId: string, address: string): void {
    this.#waiting.set(nodeId, address);
    if (this.#running < MAX_CONCURRENT) void this.#checkWaiting();
  }

  /** Records whether a host answered a probe. Failed probes count only while the agent is heard. */
  recordAnswer(nodeId: string, answered: boolean): void {
    const { state, writer, logger, isHeard, signal } = this.#options;
    const node = state.nodes.get(nodeId);
    if (node === undefined || node.ignoresProbes !== answered || !(answered || isHeard(nodeId))) return;
    if (!answered) {
      const address = node.description?.address;
      logger.warn({ nodeId, address }, "host does not answer probes (firewall?): its loss is detected later");
    }
    const write = writer.submit(({ nodes }) => {
      const latest = nodes.get(nodeId);
      if (latest === undefined) return { changes: [], result: undefined };
      const changed: Node = { ...latest, ignoresProbes: !answered };
      return { changes: [{ kind: "put-node", node: changed }], result: undefined };
    }, signal);
    // The next leader repeats the check when the write fails.
    write.catch(() => undefined);
  }

  async #checkWaiting(): Promise<void> {
    const { probe, signal } = this.#options;
    this.#running += 1;
    for (const [nodeId, address] of this.#waiting) {
      this.#waiting.delete(nodeId);
      const target = { address, port: PROBE_PORT, tries: CHECK_TRIES, tryMs: CHECK_TRY_MS };
      const answered = await probe(target, signal);
      if (signal.aborted) break;
      this.recordAnswer(nodeId, answered);
    }
    this.#running -= 1;
  }
}
