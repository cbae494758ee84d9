import type { Network, NetworkAttachment, ServiceSpec } from "@berth/proto";
import type { ClusterState } from "../../state/cluster-state.js";

/** Input of the checks of a deployment's network attachments. */
export interface AttachmentContext {
  readonly state: ClusterState;
  /** Networks that the same change creates or updates, by name. */
  readonly newNetworks?: ReadonlyMap<string, Network>;
  /** First part of the error message, which says what failed. */
  readonly errorPrefix: string;
}

/** Finds a network by name. A network that the same change creates or updates takes precedence. */
export function findNetwork(name: string, { state, newNetworks }: AttachmentContext): Network | undefined {
  return newNetworks?.get(name) ?? state.networks.byName(name);
}

/** Returns the networks that the tasks of a service join. */
export function networkAttachments(spec: ServiceSpec): readonly NetworkAttachment[] {
  return spec.task?.networks ?? [];
}

/** Returns the path of an attachment in violations. */
export function attachmentPath(index: number): string {
  return `task.networks[${index}]`;
}
