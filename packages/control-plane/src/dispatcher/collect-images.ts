import type { Logger } from "pino";
import { sleep } from "../runtime/clock.js";
import type { Runtime } from "../runtime/runtime.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { ImageInventories } from "./relays/image-inventories.js";

/** Interval between two collections. It is long, because unused images only take disk space. */
const INTERVAL_MS = 60 * 60_000;
/** Minimum age of a collected image, which leaves time between the push of an image and the deployment that uses it. */
const MIN_AGE_MS = 24 * 60 * 60_000;

export interface ImageCollectionOptions {
  readonly state: ClusterState;
  readonly imageInventories: Pick<ImageInventories, "nodeIds" | "remove">;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

/**
 * Removes unused content from all nodes, once an hour, until `signal` is aborted: images and shipped mounts that no stored
 * version of a service uses, and layers that agents keep for other nodes. Agents keep images that a container uses, and
 * images that also have other names.
 */
export async function collectUnusedImages(
  { state, imageInventories, runtime, logger }: ImageCollectionOptions,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await sleep(runtime.clock, INTERVAL_MS, signal);
    // During a restore, stored versions may be missing.
    if (signal.aborted || state.isRestorePending) continue;
    const removal = {
      imageIds: [],
      keptImageIds: [...state.services.versions.contentIds()],
      minAgeMs: MIN_AGE_MS,
      removesLayers: true,
    };
    for (const nodeId of imageInventories.nodeIds) {
      try {
        const { imageIds, errors } = await imageInventories.remove(nodeId, removal, signal);
        if (imageIds.length > 0) logger.info({ nodeId, images: imageIds }, "unused images removed");
        if (errors.length > 0) logger.warn({ nodeId, errors }, "failed to remove unused images");
      } catch (error) {
        if (!signal.aborted) logger.warn({ nodeId, err: error }, "failed to remove unused images");
      }
    }
  }
}
