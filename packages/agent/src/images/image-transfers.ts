import { BerthError, diskError, type ImageSource } from "@berth/proto";
import { parseImageConfig, sha256Digest } from "@berth/proto/images";
import type { RpcTransport } from "@berth/proto/rpc";
import type { Logger } from "pino";
import type { PullProgress } from "../engine/engine.js";
import type { ImageEngine, LocalImage } from "../engine/image-engine.js";
import type { ImageExporter } from "./image-exporter.js";
import { countPresentLayers, importImage } from "./image-importer.js";
import { type DescribedImage, ImagePeers } from "./image-peers.js";
import { fetchLayers } from "./layer-fetcher.js";
import type { LayerStore } from "./layer-store.js";

/** Minimum interval between two progress reports. Each is sent to the leader and to all clients that watch. */
const PROGRESS_INTERVAL_MS = 1_000;

export interface ImageTransfersOptions {
  readonly engine: ImageEngine;
  readonly store: LayerStore;
  readonly exporter: ImageExporter;
  readonly transport: Pick<RpcTransport, "connect" | "download">;
  /** The platform of this host, such as "linux/amd64". */
  readonly platform: () => string;
  readonly log: Logger;
}

export interface WantedImage {
  /** Name of the image, for messages. */
  readonly image: string;
  readonly imageId: string;
  /** The name under which berth uses the image, see `managedImageName`. */
  readonly name: string;
}

export interface TransferCall {
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: PullProgress) => void;
  /**
   * The layers of an image that a client is pushing to the only source, in order. Empty if the sources have the image.
   */
  readonly pushedLayers?: readonly string[];
}

/** Transfers images from other nodes to this host's Docker daemon. */
export class ImageTransfers {
  readonly #options: ImageTransfersOptions;

  constructor(options: ImageTransfersOptions) {
    this.#options = options;
  }

  /** Gives an image the name under which berth uses it. Returns whether Docker has the image. */
  async ensureName(
    { name, imageId }: Pick<WantedImage, "name" | "imageId">,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { engine } = this.#options;
    const localImage = await engine.inspectImage(name, { signal });
    if (localImage !== undefined && hasContent(localImage, imageId)) return true;
    if ((await engine.inspectImage(imageId, { signal })) === undefined) return false;
    await engine.tagImage(imageId, name, { signal });
    return true;
  }

  /**
   * Fetches the image from other nodes, unless Docker has it.
   *
   * @throws BerthError BERTH_IMAGE_INVALID, BERTH_NODE_UNREACHABLE, BERTH_DISK_FAILED; EngineError
   */
  async fetch(wanted: WantedImage, sources: readonly ImageSource[], call: TransferCall): Promise<void> {
    const { signal, onProgress = () => {}, pushedLayers = [] } = call;
    if (await this.ensureName(wanted, signal)) return;
    const { transport, log } = this.#options;
    const peers = new ImagePeers(transport);
    const release = this.#options.store.hold();
    const startedMs = performance.now();
    try {
      const [source] = sources;
      if (source !== undefined && pushedLayers.length > 0) {
        const config = await this.#followUpload(wanted, pushedLayers, { source, peers }, signal);
        if (config !== undefined) return await this.store(wanted, config, signal);
      }
      const description = await this.#describe(wanted, { sources, peers }, signal);
      requirePlatform(wanted.image, description.config, this.#options.platform());
      const fetched = await this.#fetchMissing(description, { sources, peers, onProgress }, signal);
      await this.store(wanted, description.config, signal);
      const tookMs = Math.round(performance.now() - startedMs);
      log.info(
        { image: wanted.image, imageId: wanted.imageId, fetchedBytes: fetched, tookMs },
        "image fetched",
      );
    } catch (error) {
      throw diskError(error, "the layers of images") ?? error;
    } finally {
      release();
      peers.close();
    }
  }

  /** Loads an image whose missing layers are in the store. */
  async store({ image, imageId, name }: WantedImage, config: Buffer, signal: AbortSignal): Promise<void> {
    const { engine, store, exporter } = this.#options;
    requirePlatform(image, config, this.#options.platform());
    await importImage({ imageId, config, name }, { engine, store }, { signal });
    exporter.remember(imageId, config);
    await store.trim();
  }

  /**
   * Fetches the layers of an image while a client pushes it to the source. Returns the configuration once all layers
   * have arrived. Returns undefined if something is missing: the source has the rest once the upload is complete.
   */
  async #followUpload(
    { imageId }: WantedImage,
    layers: readonly string[],
    { source, peers }: { readonly source: ImageSource; readonly peers: ImagePeers },
    signal: AbortSignal,
  ): Promise<Buffer | undefined> {
    const { engine, store, log } = this.#options;
    const missingLayers = layers.slice(await countPresentLayers(layers, engine, { signal }));
    let config: Buffer | undefined;
    const pushed = async function* (): AsyncGenerator<string> {
      for await (const part of peers.watchUpload(source, imageId, signal)) {
        if (part.kind === "config") config = part.config;
        else if (missingLayers.includes(part.digest)) yield part.digest;
      }
    };
    try {
      await store.requireRoom(0);
      await fetchLayers({ layers: pushed(), sources: [source], peers, store, onBytes: () => {} }, signal);
    } catch (error) {
      signal.throwIfAborted();
      log.debug({ err: error, imageId }, "cannot follow the upload of an image");
      return undefined;
    }
    for (const digest of missingLayers) if ((await store.sizeOf(digest)) === undefined) return undefined;
    return config !== undefined && sha256Digest(config) === imageId ? config : undefined;
  }

  /** Asks the sources for the configuration of the image, one after another. */
  async #describe(
    { imageId, image }: WantedImage,
    { sources, peers }: { readonly sources: readonly ImageSource[]; readonly peers: ImagePeers },
    signal: AbortSignal,
  ): Promise<DescribedImage> {
    const reasons: string[] = [];
    for (const source of sources) {
      try {
        return await peers.describe(source, imageId, signal);
      } catch (error) {
        signal.throwIfAborted();
        reasons.push(error instanceof Error ? error.message : String(error));
      }
    }
    const reason =
      reasons.length === 0 ? "no connected node has it; push the image again" : reasons.join("; ");
    throw new BerthError({
      code: "BERTH_NODE_UNREACHABLE",
      message: `image ${image} (${imageId.slice(0, 19)}) cannot be fetched: ${reason}`,
    });
  }

  /** Fetches the layers that neither Docker nor the store has. Returns the number of bytes. */
  async #fetchMissing(
    { layers }: DescribedImage,
    {
      sources,
      peers,
      onProgress,
    }: {
      readonly sources: readonly ImageSource[];
      readonly peers: ImagePeers;
      readonly onProgress: (progress: PullProgress) => void;
    },
    signal: AbortSignal,
  ): Promise<number> {
    const { engine, store } = this.#options;
    const digests = layers.map(({ digest }) => digest);
    const present = await countPresentLayers(digests, engine, { signal });
    const missingLayers = layers.slice(present);
    const missing: string[] = [];
    let totalBytes = 0;
    for (const { digest, sizeBytes } of missingLayers) {
      if (missing.includes(digest) || (await store.sizeOf(digest)) !== undefined) continue;
      missing.push(digest);
      totalBytes += sizeBytes;
    }
    await store.requireRoom(totalBytes + missingLayers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
    let receivedBytes = 0;
    let reportedAtMs = 0;
    const onBytes = (bytes: number): void => {
      receivedBytes += bytes;
      if (performance.now() - reportedAtMs < PROGRESS_INTERVAL_MS) return;
      reportedAtMs = performance.now();
      onProgress({ receivedBytes: Math.min(receivedBytes, totalBytes), totalBytes });
    };
    await fetchLayers({ layers: missing, sources, peers, store, onBytes }, signal);
    return receivedBytes;
  }
}

/**
 * Returns whether the image has this ID; it does not if someone has moved berth's name for the ID to another image. With
 * containerd's image store, the image's ID is the digest of its manifest and cannot be compared, so any image that has
 * its ID as a digest is accepted.
 */
function hasContent({ id, repoDigests }: LocalImage, imageId: string): boolean {
  return id === imageId || repoDigests.some((digest) => digest.endsWith(`@${id}`));
}

/**
 * Checks that an image is for the platform of this host.
 *
 * @throws BerthError BERTH_IMAGE_INVALID if the image is for another platform
 */
export function requirePlatform(image: string, config: Uint8Array, host: string): void {
  const { platform } = parseImageConfig(config);
  const [os, architecture] = platform.split("/");
  if (`${os}/${architecture}` === host) return;
  throw new BerthError({
    code: "BERTH_IMAGE_INVALID",
    message: `image ${image} is for ${platform}, but this node is ${host}; build it for this platform, or add the constraint "node.platform.arch == ${architecture}"`,
  });
}
