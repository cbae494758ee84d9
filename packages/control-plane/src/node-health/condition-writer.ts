import { type Node, NodeState } from "@berth/proto";
import type { Logger } from "pino";
import type { NodeCondition } from "../core/node-health/judge-node.js";
import type { Writer } from "../reconciler/writer.js";
import type { Runtime } from "../runtime/runtime.js";

/** Delay before a node is evaluated again after a failed write. */
const WRITE_RETRY_MS = 500;

export interface ConditionWriterOptions {
  readonly writer: Writer;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Returns the condition to write, or undefined if it is unchanged. */
  readonly judge: (nodeId: string) => NodeCondition | undefined;
  /** Evaluates the node again after a delay. Called after each write. */
  readonly evaluateAfter: (nodeId: string, delayMs: number) => void;
}

/** Writes the conditions of nodes for the health monitor, one write per node at a time. */
export class ConditionWriter {
  readonly #options: ConditionWriterOptions;
  /** IDs of the nodes whose condition is being written. */
  readonly #writing = new Set<string>();

  constructor(options: ConditionWriterOptions) {
    this.#options = options;
  }

  /** Writes the node's condition. Judges the node again first, since a heartbeat may have arrived in the meantime. */
  async write(nodeId: string): Promise<void> {
    if (this.#writing.has(nodeId)) return;
    const { logger, signal, evaluateAfter } = this.#options;
    this.#writing.add(nodeId);
    try {
      const writtenNode = await this.#submit(nodeId).finally(() => this.#writing.delete(nodeId));
      if (writtenNode !== undefined) logCondition(writtenNode, logger);
      evaluateAfter(nodeId, 0);
    } catch (error) {
      if (signal.aborted) return;
      logger.warn({ err: error, nodeId }, "failed to write node condition");
      evaluateAfter(nodeId, WRITE_RETRY_MS);
    }
  }

  /** Returns the node as written, or undefined if its condition has not changed. */
  #submit(nodeId: string): Promise<Node | undefined> {
    const { writer, runtime, judge, signal } = this.#options;
    return writer.submit((state) => {
      const condition = judge(nodeId);
      const node = state.nodes.get(nodeId);
      if (node === undefined || condition === undefined) return { changes: [], result: undefined };
      const stateSinceMs = condition.state === node.state ? node.stateSinceMs : runtime.wallClockMs();
      const changed: Node = { ...node, ...condition, stateSinceMs };
      return { changes: [{ kind: "put-node", node: changed }], result: changed };
    }, signal);
  }
}

function logCondition({ id, description, state, stateMessage, fenced }: Node, logger: Logger): void {
  const fields = { nodeId: id, hostname: description?.hostname, reason: stateMessage || undefined };
  if (state === NodeState.READY) {
    logger.warn(fields, "node is ready");
  } else if (fenced) {
    logger.warn(fields, "node is down and fenced: its at-most-one tasks have stopped");
  } else {
    logger.warn(fields, "node is down");
  }
}
