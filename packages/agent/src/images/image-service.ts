import {
  assertNever,
  BerthError,
  ImageServiceService,
  managedImageId,
  type WatchUploadResponse,
} from "@berth/proto";
import { isSha256Digest } from "@berth/proto/images";
import type { DownloadService, RpcHandlers } from "@berth/proto/rpc";
import { isLocalImage } from "../core/images/local-image.js";
import type { ImageEngine, LocalImage } from "../engine/image-engine.js";
import type { ImageExporter } from "./image-exporter.js";
import type { LayerStore } from "./layer-store.js";
import type { UploadedPart, UploadProgress } from "./upload-progress.js";

/**
 * Maximum number of concurrent reads. Each keeps the disk busy and buffers in memory. Callers retry, or try another
 * node.
 */
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
 * Serves images and archives of shipped mounts to the agents of other nodes. Images that a registry has are not described,
 * since a login may protect them. Layers and archives are served to nodes that know the digests.
 */
export class ImageServer {
  readonly #options: ImageServiceOptions;
  #reads = 0;

  constructor(options: ImageServiceOptions) {
    this.#options = options;
  }

  /** The gRPC methods. Agents of this release download layers instead of calling `readLayer`. */
  get handlers(): RpcHandlers<typeof ImageServiceService> {
    const { engine, exporter, uploadOf } = this.#options;
    const findLayer = (digest: string, signal: AbortSignal) => this.#findLayer(digest, signal);
    const startRead = () => this.#startRead();
    return {
      async describeImage({ imageId }, { signal }) {
        requireDigest(imageId);
        const image = await engine.inspectImage(imageId, { signal });
        if (image === undefined || !isShared(image)) throw notFoundError(`image ${imageId}`);
        const { config, layers } = await exporter.export(imageId, signal);
        return { config, layerSizes: layers.map(({ sizeBytes }) => sizeBytes) };
      },
      async *readLayer({ digest, offset }, { signal }) {
        const endRead = startRead();
        try {
          const { sizeBytes, holder } = await findLayer(digest, signal);
          if (!Number.isSafeInteger(offset) || offset < 0 || offset > sizeBytes) {
            throw invalidOffsetError(digest, offset);
          }
          if (offset === sizeBytes) return;
          for await (const data of holder.readChunks(digest, offset)) yield { data };
        } finally {
          endRead();
        }
      },
      async *watchUpload({ imageId }, { signal }) {
        requireDigest(imageId);
        const upload = uploadOf(imageId);
        if (upload === undefined) throw notFoundError(`an upload of image ${imageId}`);
        for await (const part of upload.parts(signal)) yield { part: asMessage(part) };
      },
    };
  }

  /** The layers and archives, by digest. */
  get downloads(): DownloadService {
    return {
      method: ImageServiceService.readLayer.path,
      serve: async (digest, send, signal) => {
        const endRead = this.#startRead();
        try {
          const { sizeBytes, holder } = await this.#findLayer(digest, signal);
          await send({
            sizeBytes,
            writeTo: (output, offset) => holder.writeTo(output, digest, offset),
          });
        } finally {
          endRead();
        }
      },
    };
  }

  /**
   * Counts a read until the returned function is called.
   *
   * @throws BerthError BERTH_LIMIT_EXCEEDED if too many reads are running
   */
  #startRead(): () => void {
    if (this.#reads >= MAX_CONCURRENT_READS) throw tooManyReadsError();
    this.#reads += 1;
    return () => {
      this.#reads -= 1;
    };
  }

  /** Finds a layer or an archive. Exports an image with the layer from Docker if it is not in the store. */
  async #findLayer(
    digest: string,
    signal: AbortSignal,
  ): Promise<{ readonly sizeBytes: number; readonly holder: LayerStore }> {
    requireDigest(digest);
    const { store, shipped } = this.#options;
    const shippedBytes = await shipped.sizeOf(digest);
    if (shippedBytes !== undefined) return { sizeBytes: shippedBytes, holder: shipped };
    const sizeBytes = (await store.sizeOf(digest)) ?? (await exportLayer(digest, this.#options, signal));
    return { sizeBytes, holder: store };
  }
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
  if (image === undefined) throw notFoundError(`layer ${digest}`);
  const { layers } = await exporter.export(image.id, signal);
  const layer = layers.find((each) => each.digest === digest);
  if (layer === undefined) throw notFoundError(`layer ${digest}`);
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

function notFoundError(what: string): BerthError {
  return new BerthError({ code: "BERTH_NOT_FOUND", message: `this node does not have ${what}` });
}

function invalidOffsetError(digest: string, offset: number): BerthError {
  return new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `offset ${offset} is beyond the end of layer ${digest}`,
  });
}

function tooManyReadsError(): BerthError {
  return new BerthError({
    code: "BERTH_LIMIT_EXCEEDED",
    message: `this node is already sending ${MAX_CONCURRENT_READS} layers`,
  });
}
