import {
  assertNever,
  BerthError,
  type ImageServiceService,
  managedImageId,
  type WatchUploadResponse,
} from "@berth/proto";
import { isSha256Digest } from "@berth/proto/images";
import type { RpcHandlers } from "@berth/proto/rpc";
import { isLocalImage } from "../core/images/local-image.js";
import type { ImageEngine, LocalImage } from "../engine/image-engine.js";
import type { ImageExporter } from "./image-exporter.js";
import type { LayerStore } from "./layer-store.js";
import type { UploadedPart, UploadProgress } from "./upload-progress.js";

/** Each read keeps the disk busy and buffers in memory. Callers retry, or try another node. */
const MAX_CONCURRENT_READS = 32;

export interface ImageServiceOptions {
  readonly engine: ImageEngine;
  readonly store: LayerStore;
  /** The archives of shipped mounts. */
  readonly shipped: LayerStore;
  readonly exporter: ImageExporter;
  /** Returns an image that a client is pushing to this node. */
  readonly uploadOf: (imageId: string) => UploadProgress | undefined;
}

/**
 * Returns the handlers with which an agent serves images and archives of shipped mounts to the agents of other nodes. Images
 * that a registry has are not described, since a login may protect them. Layers and archives are served to nodes that know
 * the digests.
 */
export function imageServiceHandlers(options: ImageServiceOptions): RpcHandlers<typeof ImageServiceService> {
  const { engine, store, shipped, exporter } = options;
  let reads = 0;
  return {
    async describeImage({ imageId }, { signal }) {
      requireDigest(imageId);
      const image = await engine.inspectImage(imageId, { signal });
      if (image === undefined || !isShared(image)) throw missing(`image ${imageId}`);
      const { config, layers } = await exporter.export(imageId, signal);
      return { config, layerSizes: layers.map(({ sizeBytes }) => sizeBytes) };
    },
    async *readLayer({ digest, offset }, { signal }) {
      requireDigest(digest);
      if (reads >= MAX_CONCURRENT_READS) throw tooManyReads();
      reads += 1;
      try {
        const shippedBytes = await shipped.sizeOf(digest);
        const sizeBytes =
          shippedBytes ?? (await store.sizeOf(digest)) ?? (await exportLayer(digest, options, signal));
        if (!Number.isSafeInteger(offset) || offset < 0 || offset > sizeBytes)
          throw invalidOffset(digest, offset);
        if (offset === sizeBytes) return;
        const holder = shippedBytes === undefined ? store : shipped;
        for await (const data of holder.readChunks(digest, offset)) yield { data };
      } finally {
        reads -= 1;
      }
    },
    async *watchUpload({ imageId }, { signal }) {
      requireDigest(imageId);
      const upload = options.uploadOf(imageId);
      if (upload === undefined) throw missing(`an upload of image ${imageId}`);
      for await (const part of upload.parts(signal)) yield { part: asMessage(part) };
    },
  };
}

function asMessage(part: UploadedPart): NonNullable<WatchUploadResponse["part"]> {
  switch (part.kind) {
    case "layer":
      return { $case: "layer", value: part.digest };
    case "config":
      return { $case: "config", value: part.config };
    default:
      return assertNever(part);
  }
}

/** Exports an image with the layer, and returns the size of the layer. */
async function exportLayer(
  digest: string,
  { engine, exporter }: ImageServiceOptions,
  signal: AbortSignal,
): Promise<number> {
  const images = await engine.listImages({ signal });
  const image = images.find(({ layers }) => layers.includes(digest));
  if (image === undefined) throw missing(`layer ${digest}`);
  const { layers } = await exporter.export(image.id, signal);
  const layer = layers.find((each) => each.digest === digest);
  if (layer === undefined) throw missing(`layer ${digest}`);
  return layer.sizeBytes;
}

/** Returns whether other nodes may get the image: berth distributed it, or it does not come from a registry. */
function isShared({ names, repoDigests }: LocalImage): boolean {
  if (names.some((name) => managedImageId(name) !== undefined)) return true;
  return repoDigests.length === 0 || names.some((name) => isLocalImage(name, repoDigests));
}

function requireDigest(digest: string): void {
  if (isSha256Digest(digest)) return;
  throw new BerthError({ code: "BERTH_INPUT_INVALID", message: `${JSON.stringify(digest)} is not a digest` });
}

function missing(what: string): BerthError {
  return new BerthError({ code: "BERTH_NOT_FOUND", message: `this node does not have ${what}` });
}

function invalidOffset(digest: string, offset: number): BerthError {
  return new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `offset ${offset} is beyond the end of layer ${digest}`,
  });
}

function tooManyReads(): BerthError {
  return new BerthError({
    code: "BERTH_LIMIT_EXCEEDED",
    message: `this node is already sending ${MAX_CONCURRENT_READS} layers`,
  });
}
