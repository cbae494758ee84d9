import { isBerthError } from "@berth/proto";
import type { ApiContext } from "../api-context.js";
import { type MergedLine, reasonOf } from "./merge-logs.js";

type Loss = Extract<MergedLine, { readonly kind: "lost" }>;

/** Words for logs that are not to be had: one line for a node that is away, however many of its logs are wanted. */
export function lossWarnings({ state }: Pick<ApiContext, "state">): {
  readonly of: (loss: Loss) => readonly string[];
  /** The node has given a line: when it is lost again, that is news. */
  readonly heard: (nodeId: string) => void;
} {
  const saidOf = new Set<string>();
  return {
    heard: (nodeId) => void saidOf.delete(nodeId),
    of: ({ task, error }) => {
      const hostname = state.nodes.get(task.nodeId)?.description?.hostname || task.nodeId;
      const reason = reasonOf(error);
      if (!isBerthError(error, "BERTH_NODE_UNREACHABLE"))
        return [`no log of task ${task.id} (${task.serviceName}.${task.slot}) on ${hostname}: ${reason}`];
      if (saidOf.has(task.nodeId)) return [];
      saidOf.add(task.nodeId);
      return [`${hostname}: ${reason}; what its tasks (${task.serviceName}.${task.slot} …) write is missing`];
    },
  };
}
