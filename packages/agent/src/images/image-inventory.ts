import {
  type ImageDiskUsage,
  type ImageInventory,
  type ImageQuery,
  type ImagesRemoved,
  managedImageId,
  type NodeImage,
  type RemoveImages,
} from "@berth/proto";
import type { ImageEngine, LocalImage } from "../engine/image-engine.js";
import type { LayerStore } from "./layer-store.js";

/** Maximum number of images in a reply. The leader refuses more. */
const MAX_IMAGES = 1_000;
const MAX_ERROR_LENGTH = 500;
/** Timeout of an inventory, shorter than the leader's. */
const TIMEOUT_MS = 4_000;
/** Timeout of a removal of images. */
const REMOVAL_TIMEOUT_MS = 5 * 60_000;

export interface ImageInventoryOptions {
  readonly engine: ImageEngine;
  readonly store: LayerStore;
  /** The archives of shipped mounts, which are treated like images that berth distributed. */
  readonly shipped: LayerStore;
  readonly now: () => number;
  /** Aborts when the agent stops. */
  readonly signal: AbortSignal;
}

/** Answers the leader's queries about this host's images, and removes images that berth distributed. */
export class ImageInventoryResponder {
  readonly #options: ImageInventoryOptions;

  constructor(options: ImageInventoryOptions) {
    this.#options = options;
  }

  /** Answers a query of the leader. Never rejects. */
  async answer(query: ImageQuery): Promise<ImageInventory> {
    const { requestId } = query;
    try {
      const signal = AbortSignal.any([this.#options.signal, AbortSignal.timeout(TIMEOUT_MS)]);
      const images = await this.#options.engine.listImages({ signal });
      const listedLayers = new Set(images.flatMap(({ layers }) => layers));
      const matching = images.filter((image) => matches(image, query));
      const summaries = await Promise.all(
        matching.slice(0, MAX_IMAGES).map((image) => this.#describe(image, signal)),
      );
      return {
        requestId,
        images: [...summaries, ...(await this.#shipped(query))].slice(0, MAX_IMAGES),
        layers: query.layers.filter((digest) => listedLayers.has(digest)),
        error: "",
        diskUsage: query.diskUsage ? await this.#diskUsage(signal) : undefined,
      };
    } catch (error) {
      return { requestId, images: [], layers: [], error: describe(error), diskUsage: undefined };
    }
  }

  /** Returns undefined when Docker does not answer in time: it reads the sizes of all containers and volumes as well. */
  async #diskUsage(signal: AbortSignal): Promise<ImageDiskUsage | undefined> {
    const { engine, store, shipped } = this.#options;
    const images = await engine.diskUsage({ signal }).catch(() => undefined);
    if (images === undefined) return undefined;
    return { images, layers: await store.diskUsage(), shipped: await shipped.diskUsage() };
  }

  /** Removes names that berth gave, and images without other names. Never rejects. */
  async remove(request: RemoveImages): Promise<ImagesRemoved> {
    const { requestId, imageIds, keptImageIds, minAgeMs, removesLayers } = request;
    const { engine, store, shipped, now } = this.#options;
    const removed: string[] = [];
    const errors: string[] = [];
    const signal = AbortSignal.any([this.#options.signal, AbortSignal.timeout(REMOVAL_TIMEOUT_MS)]);
    try {
      const keptIds = new Set(keptImageIds);
      const isShippedKept = (digest: string): boolean =>
        keptIds.has(digest) || (imageIds.length > 0 && !imageIds.includes(digest));
      const sinceMs = minAgeMs > 0 ? now() - minAgeMs : Number.POSITIVE_INFINITY;
      removed.push(...(await shipped.removeUnused(isShippedKept, sinceMs)));
      if (removesLayers) await store.removeUnused(() => false, sinceMs);
      for (const image of await engine.listImages({ signal })) {
        const names = managedNames(image);
        const id = managedImageId(names[0] ?? "") ?? "";
        const isWanted = imageIds.length === 0 || imageIds.includes(id);
        if (names.length === 0 || keptIds.has(id) || !isWanted) continue;
        if (minAgeMs > 0 && now() - (await this.#addedMs(image, signal)) < minAgeMs) continue;
        try {
          for (const name of names) await engine.removeImage(name, { signal });
          removed.push(id);
        } catch (error) {
          errors.push(describe(error));
        }
      }
    } catch (error) {
      errors.push(describe(error));
    }
    return { requestId, imageIds: removed.slice(0, MAX_IMAGES), errors: errors.slice(0, MAX_IMAGES) };
  }

  async #shipped({ all, managed, imageIds }: ImageQuery): Promise<readonly NodeImage[]> {
    const archives = await this.#options.shipped.list();
    return archives
      .filter(({ digest }) => all || managed || imageIds.includes(digest))
      .map(({ digest, bytes, usedMs }) => ({
        id: digest,
        names: [],
        sizeBytes: bytes,
        createdMs: 0,
        isManaged: true,
        addedMs: usedMs,
      }));
  }

  async #describe(image: LocalImage, signal: AbortSignal): Promise<NodeImage> {
    const managed = managedNames(image);
    return {
      id: managedImageId(managed[0] ?? "") ?? image.id,
      names: image.names.filter((name) => !managed.includes(name)).slice(0, MAX_NAMES),
      sizeBytes: image.sizeBytes,
      createdMs: image.createdMs,
      isManaged: managed.length > 0,
      addedMs: managed.length > 0 ? await this.#addedMs(image, signal) : 0,
    };
  }

  /** Returns when the image was last tagged; the current time if Docker does not know. */
  async #addedMs({ id }: LocalImage, signal: AbortSignal): Promise<number> {
    const { engine, now } = this.#options;
    return (await engine.inspectImage(id, { signal }))?.taggedMs || now();
  }
}

/** Maximum number of names of one image in a reply. */
const MAX_NAMES = 100;

function managedNames({ names }: LocalImage): readonly string[] {
  return names.filter((name) => managedImageId(name) !== undefined);
}

function matches(image: LocalImage, { all, managed, names, imageIds }: ImageQuery): boolean {
  if (all) return true;
  const managedTags = managedNames(image);
  if (managed && managedTags.length > 0) return true;
  if (image.names.some((name) => names.includes(name))) return true;
  return (
    imageIds.includes(image.id) || managedTags.some((name) => imageIds.includes(managedImageId(name) ?? ""))
  );
}

function describe(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, MAX_ERROR_LENGTH);
}
