import { BerthError, isBerthError, NodeState } from "@berth/proto";
import type { Logger } from "pino";
import { MAX_NODES } from "../core/membership/member-limits.js";
import { descriptionBytes } from "../core/model/validate-description.js";
import type { Writer } from "../reconciler/writer.js";
import { linkSignals } from "../runtime/abort.js";
import { sleep } from "../runtime/clock.js";
import type { Runtime } from "../runtime/runtime.js";
import type { ClusterState } from "../state/cluster-state.js";
import {
  checkDescription,
  checkRegistration,
  type RegisteringAgent,
  registrationChanges,
  requireAdmission,
} from "./registration.js";
import { WriteBudget } from "./write-budget.js";

/** Timeout for writing a node's registration to etcd. After a timeout, the agent connects again. */
const REGISTRATION_TIMEOUT_MS = 10_000;

/**
 * Budget of a node for changes of its description. With a typical description of 2 KiB, the budget allows fifty changes
 * at once and four per second. Between two compactions of etcd (5 min), a node stores at most 2.5 MB.
 */
const DESCRIPTION_BUDGET = { burstBytes: 128 * 1_024, bytesPerSecond: 8 * 1_024 };

export interface NodeRegistrarOptions {
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly isSuspect: (nodeId: string) => boolean;
  readonly isConnected: (nodeId: string) => boolean;
  /** Whether a node must have joined with a token before its agent connects. False in the simulation. */
  readonly mustJoin: boolean;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** Aborts when the term ends. */
  readonly signal: AbortSignal;
}

/**
 * Writes the descriptions that agents send to the records of their nodes.
 *
 * Each node has a budget for changes. Changes beyond it wait, and only the latest of them is written, so that an agent
 * can neither fill etcd nor delay other nodes.
 */
export class NodeRegistrar {
  readonly #options: NodeRegistrarOptions;
  readonly #budgets = new Map<string, WriteBudget>();
  /** The latest description of each node that is not written yet. */
  readonly #pending = new Map<string, RegisteringAgent>();
  /** The nodes with a running `#writePending`. */
  readonly #writing = new Set<string>();

  constructor(options: NodeRegistrarOptions) {
    this.#options = options;
  }

  /**
   * Makes a node READY when its agent connects. Returns whether the description is stored; if not, the node's budget is
   * used up, and `update` has to follow once the session is open.
   *
   * @throws BerthError BERTH_INPUT_INVALID, BERTH_CONFLICT or BERTH_LIMIT_EXCEEDED when the node is refused;
   *   BERTH_DEADLINE when etcd does not accept the write in time
   */
  async register(agent: RegisteringAgent, signal: AbortSignal): Promise<boolean> {
    checkDescription(agent);
    this.#pending.delete(agent.nodeId);
    const { wasReady, isStored } = await this.#write(agent, signal);
    const { nodeId, description } = agent;
    if (!wasReady) this.#options.logger.info({ nodeId, hostname: description.hostname }, "node ready");
    return isStored;
  }

  /**
   * Writes a changed description of a connected node, at once or when its budget allows. Calls `onRefused` when another
   * live node has the address or the key.
   *
   * @throws BerthError BERTH_INPUT_INVALID
   */
  update(agent: RegisteringAgent, onRefused: (error: BerthError) => void): void {
    checkDescription(agent);
    this.#pending.set(agent.nodeId, agent);
    if (!this.#writing.has(agent.nodeId)) void this.#writePending(agent.nodeId, onRefused);
  }

  async #writePending(nodeId: string, onRefused: (error: BerthError) => void): Promise<void> {
    const { runtime, logger, isConnected, signal } = this.#options;
    this.#writing.add(nodeId);
    for (;;) {
      const agent = this.#pending.get(nodeId);
      if (agent === undefined || signal.aborted || !isConnected(nodeId)) break;
      const delayMs = this.#budgetOf(nodeId).delayMs(descriptionBytes(agent.description));
      if (delayMs > 0) {
        await sleep(runtime.clock, delayMs, signal);
        continue;
      }
      this.#pending.delete(nodeId);
      try {
        await this.#write(agent, signal);
      } catch (error) {
        if (isBerthError(error, "BERTH_CONFLICT") && error.details.holder !== undefined) {
          onRefused(error);
        } else if (!signal.aborted) {
          logger.warn({ err: error, nodeId }, "failed to write node description");
        }
      }
    }
    this.#pending.delete(nodeId);
    this.#writing.delete(nodeId);
  }

  async #write(agent: RegisteringAgent, signal: AbortSignal): Promise<Registration> {
    const { writer, runtime, isSuspect, mustJoin, signal: term } = this.#options;
    const { nodeId } = agent;
    const link = linkSignals(signal, term);
    const cancelTimeout = runtime.clock.after(REGISTRATION_TIMEOUT_MS, () =>
      link.abort(registrationTimeoutError(nodeId)),
    );
    try {
      const registration = await writer.submit((state) => {
        if (mustJoin) requireAdmission(agent.nodeId, state);
        checkRegistration(agent, state, isSuspect);
        const node = state.nodes.get(nodeId);
        const bytes = descriptionBytes(agent.description);
        const changes = registrationChanges(agent, state, runtime.wallClockMs());
        const isStored =
          changes.length === 0 || node?.description === undefined || this.#canWrite(nodeId, bytes);
        const result = {
          wasReady: node?.state === NodeState.READY,
          isStored,
          writtenBytes: changes.length > 0 && isStored ? bytes : 0,
        };
        if (isStored || node?.description === undefined) return { changes, result };
        const { description } = node;
        return {
          changes: registrationChanges({ nodeId, description }, state, runtime.wallClockMs()),
          result,
        };
      }, link.signal);
      if (registration.writtenBytes > 0) this.#budgetOf(nodeId).spend(registration.writtenBytes);
      return registration;
    } finally {
      cancelTimeout();
      link.unlink();
    }
  }

  #canWrite(nodeId: string, bytes: number): boolean {
    return this.#budgetOf(nodeId).delayMs(bytes) === 0;
  }

  #budgetOf(nodeId: string): WriteBudget {
    const existing = this.#budgets.get(nodeId);
    if (existing !== undefined) return existing;
    if (this.#budgets.size >= MAX_NODES) {
      for (const [id, budget] of this.#budgets) {
        if (budget.isFull) this.#budgets.delete(id);
      }
    }
    const budget = new WriteBudget({ clock: this.#options.runtime.clock, ...DESCRIPTION_BUDGET });
    this.#budgets.set(nodeId, budget);
    return budget;
  }
}

interface Registration {
  readonly wasReady: boolean;
  /** Whether the record has the description. Otherwise, the node's budget is used up. */
  readonly isStored: boolean;
  readonly writtenBytes: number;
}

function registrationTimeoutError(nodeId: string): BerthError {
  return new BerthError({
    code: "BERTH_DEADLINE",
    message: `node ${nodeId} was not registered: etcd did not accept the write within ${REGISTRATION_TIMEOUT_MS / 1_000} s`,
    details: { nodeId },
  });
}
