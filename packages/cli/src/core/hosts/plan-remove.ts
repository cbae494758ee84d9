import { assertNever } from "@berth/proto";
import type { HostFacts } from "./host-facts.js";
import type { Membership } from "./plan-add.js";

/** Roles of a host in a cluster, according to the certificates on the host. */
export interface HostMemberships {
  readonly node: Membership | undefined;
  readonly server: Membership | undefined;
}

export interface RemoveRequest {
  /** Name of the cluster of the command. */
  readonly cluster: string;
  /** Whether to remove the host although its tasks have no other node. */
  readonly force: boolean;
  readonly keepContainers: boolean;
}

/** One change of a host or of its records in the cluster. */
export type RemoveStep =
  | { readonly kind: "drain"; readonly nodeId: string }
  | { readonly kind: "stop-agent" }
  | { readonly kind: "remove-node"; readonly nodeId: string }
  | { readonly kind: "remove-server"; readonly serverId: string }
  /** Removes the package, and everything that berth has added to the host. */
  | { readonly kind: "purge"; readonly keepContainers: boolean };

export type RemovePlan =
  | { readonly kind: "unsuitable"; readonly problems: readonly string[] }
  /** No steps when nothing of berth is left. */
  | { readonly kind: "steps"; readonly steps: readonly RemoveStep[] };

/** Decides how a host leaves the cluster. A plan that was interrupted continues with the steps that are left. */
export function planRemove(
  facts: Pick<HostFacts, "agent" | "berthVersion" | "hasLeftovers">,
  { node, server }: HostMemberships,
  { cluster, force, keepContainers }: RemoveRequest,
): RemovePlan {
  const other = [node, server].find((member) => member !== undefined && member.cluster !== cluster);
  if (other !== undefined) {
    const problem = `it belongs to the cluster ${other.cluster}, not to ${cluster}; run the command with a context of its cluster`;
    return { kind: "unsuitable", problems: [problem] };
  }
  const steps: RemoveStep[] = [];
  if (node?.listed !== undefined) {
    if (node.listed.isReady && !force) steps.push({ kind: "drain", nodeId: node.id });
    // A running agent would join again.
    if (facts.agent.isActive) steps.push({ kind: "stop-agent" });
    steps.push({ kind: "remove-node", nodeId: node.id });
  }
  if (server?.listed !== undefined) steps.push({ kind: "remove-server", serverId: server.id });
  if (facts.berthVersion !== "" || facts.hasLeftovers) steps.push({ kind: "purge", keepContainers });
  return { kind: "steps", steps };
}

/** Returns what a step does: "stop the agent". */
export function describeRemoveStep(step: RemoveStep): string {
  switch (step.kind) {
    case "drain":
      return "move its tasks to other nodes";
    case "stop-agent":
      return "stop the agent";
    case "remove-node":
      return `remove the node ${step.nodeId} from the cluster`;
    case "remove-server":
      return `remove the server ${step.serverId} from the cluster`;
    case "purge":
      return step.keepContainers
        ? "remove berth, and keep its containers"
        : "remove berth and its containers";
    default:
      return assertNever(step);
  }
}
