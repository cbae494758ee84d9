import type { ClusterImage } from "@berth/proto";
import { formatBytes, formatTimeSince } from "./human.js";
import type { Listing } from "./print.js";

/** As in `docker image ls`. */
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
