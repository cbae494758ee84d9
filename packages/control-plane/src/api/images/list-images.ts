import type {
  ClusterImage,
  ListImagesRequest,
  ListImagesResponse,
  NodeDiskUsage,
  NodeImage,
} from "@berth/proto";
import { contentNames } from "../../core/images/content-ids.js";
import { nodeNameById } from "../../core/model/node-name.js";
import type { Inventories } from "../../dispatcher/relays/image-inventories.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ApiContext } from "../api-context.js";

/** Lists the images and shipped mounts on all nodes. */
export async function listImages(
  { all, diskUsage }: ListImagesRequest,
  { state, imageInventories }: ApiContext,
  signal: AbortSignal,
): Promise<ListImagesResponse> {
  const inventories = await imageInventories.query({ managed: true, all, diskUsage }, signal);
  return {
    images: clusterImages(inventories, state),
    warnings: inventoryWarnings(inventories, state),
    nodes: diskUsage ? nodeDiskUsages(inventories, state) : [],
  };
}

function nodeDiskUsages({ nodes }: Inventories, state: ClusterState): NodeDiskUsage[] {
  return nodes
    .map(({ nodeId, images, diskUsage: usage }) => ({
      node: nodeNameById(nodeId, state.nodes),
      images: images.length,
      usage,
    }))
    .sort((a, b) => a.node.localeCompare(b.node));
}

/** Combines the inventories of the nodes, sorted by name. */
export function clusterImages({ nodes }: Inventories, state: ClusterState): ClusterImage[] {
  const byId = new Map<string, ClusterImage>();
  for (const { nodeId, images } of nodes) {
    for (const image of images) {
      const node = nodeNameById(nodeId, state.nodes);
      const existing = byId.get(image.id);
      byId.set(
        image.id,
        existing === undefined ? firstImage(image, node, state) : merged(existing, image, node),
      );
    }
  }
  const sortKey = ({ names, usedBy, id }: ClusterImage): string => names[0] ?? usedBy[0] ?? id;
  return [...byId.values()].sort((a, b) => sortKey(a).localeCompare(sortKey(b)) || a.id.localeCompare(b.id));
}

/** Returns a warning for each node whose inventory is missing. */
export function inventoryWarnings({ failures }: Inventories, state: ClusterState): string[] {
  return [...failures].map(([nodeId, reason]) => `node ${nodeNameById(nodeId, state.nodes)}: ${reason}`);
}

function firstImage(image: NodeImage, node: string, state: ClusterState): ClusterImage {
  const { id, sizeBytes, createdMs, isManaged } = image;
  const specs = [...state.services.versions.withContent(id).values()].map(({ serviceId, version }) =>
    state.services.versions.specOf(serviceId, version),
  );
  const names = [...image.names, ...specs.flatMap((spec) => contentNames(spec, id))];
  const usedBy = [...new Set(specs.flatMap((spec) => spec?.name ?? []))].sort();
  return { id, names: unique(names), sizeBytes, createdMs, nodes: [node], isManaged, usedBy };
}

function merged(known: ClusterImage, { names, isManaged }: NodeImage, node: string): ClusterImage {
  return {
    ...known,
    names: unique([...known.names, ...names]),
    nodes: unique([...known.nodes, node]),
    isManaged: known.isManaged && isManaged,
  };
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)].sort();
}
