import { BerthError, type FindImageRequest, type FindImageResponse } from "@berth/proto";
import type { CallContext } from "@berth/proto/rpc";
import type { ClusterState } from "../state/cluster-state.js";
import { type ImageInventories, imageSources } from "./relays/image-inventories.js";

export interface FindImageContext {
  readonly state: ClusterState;
  readonly imageInventories: Pick<ImageInventories, "query">;
}

/**
 * Returns the nodes that have an image, for a node that runs it.
 * @throws BerthError BERTH_PERMISSION_DENIED unless a task of the node runs the image
 */
export async function findImage(
  { imageId }: FindImageRequest,
  { state, imageInventories }: FindImageContext,
  { caller, signal }: Pick<CallContext, "caller" | "signal">,
): Promise<FindImageResponse> {
  const nodeId = caller.kind === "node" ? caller.id : "";
  if (!runsImage(nodeId, imageId, state)) {
    throw new BerthError({
      code: "BERTH_PERMISSION_DENIED",
      message: `node ${nodeId} may not fetch image ${imageId.slice(0, 100)}: none of its tasks runs it`,
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

function runsImage(nodeId: string, imageId: string, { services, tasks }: ClusterState): boolean {
  for (const { serviceId, version } of services.versions.withImage(imageId).values()) {
    for (const task of tasks.ofService(serviceId).values()) {
      if (task.nodeId === nodeId && task.specVersion === version) return true;
    }
  }
  return false;
}
