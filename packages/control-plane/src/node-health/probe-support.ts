import { setMaxListeners } from "node:events";
import type { Node } from "@berth/proto";
import { PROBE_PORT, type Probe } from "@berth/proto/probe";
import type { Logger } from "pino";
import type { Writer } from "../reconciler/writer.js";
import type { ClusterState } from "../state/cluster-state.js";

/** Maximum number of concurrent checks. After a takeover, a thousand agents connect at once. */
const MAX_CONCURRENT = 16;

/**
 * Number of tries per check. So many that a check takes longer than a probe round: a live host that does not respond to
 * the check never responds to probes.
 */
const CHECK_TRIES = 3;

/** Duration of one try. */
const CHECK_TRY_MS = 500;

export interface ProbeSupportOptions {
  readonly probe: Probe;
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly logger: Logger;
  /** Returns whether the node's heartbeats are currently arriving. */
  readonly isHeard: (nodeId: string) => boolean;
  readonly signal: AbortSignal;
}

/**
 * Checks which hosts respond to probes while their agents send heartbeats. A host that never responds cannot be probed.
 *
 * The result is stored with the node (`ignores_probes`), so that the next leader does not declare such a node down.
 */
export class ProbeSupport {
  readonly #options: ProbeSupportOptions;
  /** Addresses to check, by node ID. */
  readonly #waiting = new Map<string, string>();
  #running = 0;

  constructor(options: ProbeSupportOptions) {
    this.#options = options;
    // Each probe listens for the end of the term.
    setMaxListeners(0, options.signal);
  }

  /** Queues a probe of the host. Called when its agent connects and when its address changes. */
  enqueueCheck(nodeId: string, address: string): void {
    this.#waiting.set(nodeId, address);
    if (this.#running < MAX_CONCURRENT) void this.#checkWaiting();
  }

  /** Records whether a host answered a probe. Failed probes count only while the agent sends heartbeats. */
  recordProbe(nodeId: string, answered: boolean): void {
    const { state, writer, logger, isHeard, signal } = this.#options;
    const node = state.nodes.get(nodeId);
    const isKnown = node?.ignoresProbes === !answered;
    const isProof = answered || isHeard(nodeId);
    if (node === undefined || isKnown || !isProof) return;
    if (!answered) {
      const address = node.description?.address;
      logger.warn(
        { nodeId, address },
        "host does not respond to probes (firewall?): its loss is detected later",
      );
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
      this.recordProbe(nodeId, answered);
    }
    this.#running -= 1;
  }
}
