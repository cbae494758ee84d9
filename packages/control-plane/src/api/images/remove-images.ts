import {
  BerthError,
  type ClusterImage,
  type RemoveImagesRequest,
  type RemoveImagesResponse,
} from "@berth/proto";
import { nodeNameById } from "../../core/model/node-name.js";
import type { ApiContext } from "../api-context.js";
import { clusterImages, inventoryWarnings } from "./list-images.js";

/** Maximum number of images in one request. */
const MAX_IMAGES = 1_000;

/** Minimum length of an ID prefix. */
const MIN_PREFIX_LENGTH = 4;
/** ID that no image has. In the request to agents, an empty list would stand for all images. */
const NO_IMAGE = `sha256:${"0".repeat(64)}`;

/**
 * Removes images that berth has distributed from all nodes: the given ones; or all images that no stored version of a
 * service refers to, and the layers that agents keep for other nodes.
 *
 * @throws BerthError BERTH_NOT_FOUND, BERTH_AMBIGUOUS, BERTH_IMAGE_IN_USE
 */
export async function removeImages(
  { images: references }: RemoveImagesRequest,
  context: ApiContext,
  signal: AbortSignal,
): Promise<RemoveImagesResponse> {
  const { state, imageInventories, writer } = context;
  if (references.length > MAX_IMAGES) {
    const message = `no image was removed: more than ${MAX_IMAGES} images are specified`;
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
  }
  const inventories = await imageInventories.query({ managed: true }, signal);
  const managedImages = clusterImages(inventories, state).filter(({ isManaged }) => isManaged);
  // Decided in a transaction, so that the audit log has the call before it has an effect.
  const selected = await writer.submit(() => {
    const unused = managedImages.filter(({ id }) => state.services.versions.withContent(id).size === 0);
    const result =
      references.length === 0
        ? unused
        : references.map((reference) => requireUnused(reference, managedImages));
    return { changes: [], result };
  }, signal);
  const imageIds = selected.length === 0 ? [NO_IMAGE] : selected.map(({ id }) => id);
  const removesLayers = references.length === 0;
  const warnings = inventoryWarnings(inventories, state);
  const removed = new Set<string>();
  const remove = async (nodeId: string): Promise<void> => {
    const node = nodeNameById(nodeId, state.nodes);
    try {
      // A deployment may have begun to use one of them.
      const keptImageIds = [...state.services.versions.contentIds()];
      const answer = await imageInventories.remove(
        nodeId,
        { imageIds, keptImageIds, minAgeMs: 0, removesLayers },
        signal,
      );
      for (const id of answer.imageIds) removed.add(id);
      warnings.push(...answer.errors.map((error) => `node ${node}: ${error}`));
    } catch (error) {
      warnings.push(`node ${node}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  await Promise.all(inventories.nodes.map(({ nodeId }) => remove(nodeId)));
  return { removed: selected.filter(({ id }) => removed.has(id)), warnings };
}

/** Finds an image by name, ID, or unique prefix of its ID. */
function requireUnused(reference: string, known: readonly ClusterImage[]): ClusterImage {
  const hex = reference.replace(/^sha256:/, "");
  const isPrefix = hex.length >= MIN_PREFIX_LENGTH && /^[a-f0-9]+$/.test(hex);
  const matching = known.filter(
    ({ id, names }) => names.includes(reference) || (isPrefix && id.startsWith(`sha256:${hex}`)),
  );
  const [image, ...others] = matching;
  if (image === undefined) {
    const message = `image ${reference} was not removed: berth has distributed no such image; see "berth image ls"`;
    throw new BerthError({ code: "BERTH_NOT_FOUND", message });
  }
  if (others.length > 0) {
    const message = `no image was removed: ${reference} matches ${matching.length} images; use their IDs`;
    throw new BerthError({ code: "BERTH_AMBIGUOUS", message });
  }
  if (image.usedBy.length > 0) {
    const message = `image ${reference} was not removed: stored versions of ${image.usedBy.join(", ")} use it; remove the service, or deploy other images until the version is no longer stored`;
    throw new BerthError({ code: "BERTH_IMAGE_IN_USE", message });
  }
  return image;
}
