import { BerthError, type FindImageRequest, type FindImageResponse } from "@berth/proto";
import type { CallContext } from "@berth/proto/rpc";
import type { ClusterState } from "../state/cluster-state.js";
import { type ImageInventories, imageSources } from "./relays/image-inventories.js";

export interface FindImageContext {
  readonly state: ClusterState;
  readonly imageInventories: Pick<ImageInventories, "query">;
}

/**
 * Returns the nodes that have an image or the archive of a shipped mount, for a node that needs it.
 *
 * @throws BerthError BERTH_PERMISSION_DENIED unless a task of the node uses it
 */
export async function findImage(
  { imageId }: FindImageRequest,
  { state, imageInventories }: FindImageContext,
  { caller, signal }: Pick<CallContext, "caller" | "signal">,
): Promise<FindImageResponse> {
  const nodeId = caller.kind === "node" ? caller.id : "";
  if (!usesContent(nodeId, imageId, state)) {
    throw new BerthError({
      code: "BERTH_PERMISSION_DENIED",
      message: `node ${nodeId} may not fetch ${imageId.slice(0, 100)}: none of its tasks uses it`,
    });
  }
  const { nodes } = await imageInventories.query({ imageIds: [imageId] }, signal);
  const holders = nodes.filter(
    (node) => node.nodeId !== nodeId && node.images.some(({ id }) => id === imageId),
  );
  return {
    sources: imageSources(
      holders.map((node) => node.nodeId),
      state.nodes,
    ),
  };
}

function usesContent(nodeId: string, imageId: string, { services, tasks }: ClusterState): boolean {
  for (const { serviceId, version } of services.versions.withContent(imageId).values()) {
    for (const task of tasks.ofService(serviceId).values()) {
      if (task.nodeId === nodeId && task.specVersion === version) return true;
    }
  }
  return false;
}
