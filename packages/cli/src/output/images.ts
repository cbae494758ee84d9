import type { ClusterImage, NodeDiskUsage } from "@berth/proto";
import { formatBytes, formatTimeSince } from "./human.js";
import type { Listing } from "./print.js";

/** Length of a short ID, as in `docker image ls`. */
const SHORT_ID_LENGTH = 12;

/** Describes the output of `berth image ls`, as a table and as JSON. */
export function imageListing(rows: readonly ClusterImage[], nowMs: number): Listing<ClusterImage> {
  return {
    rows,
    id: ({ id }) => id,
    json: imageJson,
    columns: [
      { title: "IMAGE", cell: ({ names }) => names.join(", ") || "<none>" },
      { title: "ID", cell: ({ id }) => id.replace("sha256:", "").slice(0, SHORT_ID_LENGTH) },
      { title: "CREATED", cell: ({ createdMs }) => (createdMs > 0 ? formatTimeSince(createdMs, nowMs) : "") },
      { title: "SIZE", cell: ({ sizeBytes }) => formatBytes(sizeBytes) },
      { title: "NODES", cell: ({ nodes }) => nodes.join(", ") },
      { title: "USED BY", cell: ({ usedBy }) => usedBy.join(", ") },
    ],
  };
}

export function imageJson(image: ClusterImage): object {
  const { id, names, sizeBytes, createdMs, nodes, usedBy, isManaged } = image;
  return { id, names, sizeBytes, createdAtMs: createdMs, nodes, usedBy, managed: isManaged };
}

/** Describes the output of `berth image df`. */
export function diskUsageListing(rows: readonly NodeDiskUsage[]): Listing<NodeDiskUsage> {
  const size = (bytes: number | undefined): string => (bytes === undefined ? "" : formatBytes(bytes));
  return {
    rows,
    id: ({ node }) => node,
    json: ({ node, images, usage }) => ({
      node,
      images,
      imagesBytes: usage?.images ?? null,
      layersBytes: usage?.layers ?? null,
      shippedBytes: usage?.shipped ?? null,
    }),
    columns: [
      { title: "NODE", cell: ({ node }) => node },
      { title: "IMAGES", cell: ({ images }) => String(images) },
      { title: "SIZE", cell: ({ usage }) => size(usage?.images) },
      { title: "LAYERS FOR OTHER NODES", cell: ({ usage }) => size(usage?.layers) },
      { title: "SHIPPED MOUNTS", cell: ({ usage }) => size(usage?.shipped) },
    ],
  };
}
