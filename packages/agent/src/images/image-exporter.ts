import { setMaxListeners } from "node:events";
import { BerthError } from "@berth/proto";
import { invalidImageError, parseImageConfig, readSavedImage, sha256Digest } from "@berth/proto/images";
import type { ImageEngine } from "../engine/image-engine.js";
import { raceSignal } from "../runtime/race-signal.js";
import type { LayerStore } from "./layer-store.js";

/** Maximum number of cached image configurations, of some KiB each. */
const MAX_CONFIGS = 100;
/** Maximum number of concurrent exports. Each writes a whole image to the disk. */
const MAX_EXPORTS = 8;

/** An image whose layers are all in the layer store. */
export interface ExportedImage {
  readonly config: Buffer;
  readonly layers: readonly { readonly digest: string; readonly sizeBytes: number }[];
}

export interface ImageExporterOptions {
  readonly engine: Pick<ImageEngine, "inspectImage" | "saveImage">;
  readonly store: LayerStore;
  /** Aborts when the agent stops. */
  readonly signal: AbortSignal;
}

/**
 * Copies images from Docker into the layer store, for other nodes. Docker can only export whole images, so concurrent requests
 * for an image and its layers share one export.
 */
export class ImageExporter {
  readonly #options: ImageExporterOptions;
  readonly #running = new Map<string, Promise<Buffer>>();
  /** By image ID, in order of insertion. */
  readonly #configs = new Map<string, Buffer>();

  constructor(options: ImageExporterOptions) {
    this.#options = options;
    // Each export adds a listener.
    setMaxListeners(0, options.signal);
  }

  /** Caches the configuration of an image that was just imported. Its layers may still be in the store. */
  remember(imageId: string, config: Buffer): void {
    this.#configs.delete(imageId);
    this.#configs.set(imageId, config);
    const [oldest] = this.#configs.keys();
    if (this.#configs.size > MAX_CONFIGS && oldest !== undefined) this.#configs.delete(oldest);
  }

  /**
   * Returns an image whose layers are in the store.
   *
   * @throws BerthError BERTH_NOT_FOUND if this node does not have it
   */
  async export(imageId: string, signal: AbortSignal): Promise<ExportedImage> {
    const cachedConfig = this.#configs.get(imageId);
    const stored = cachedConfig && (await this.#find(cachedConfig));
    if (stored !== undefined) return stored;
    const config = await raceSignal(this.#share(imageId), signal);
    const exported = await this.#find(config);
    if (exported === undefined) throw invalidImageError(`Docker did not export all layers of ${imageId}`);
    return exported;
  }

  #share(imageId: string): Promise<Buffer> {
    const running = this.#running.get(imageId);
    if (running !== undefined) return running;
    if (this.#running.size >= MAX_EXPORTS) {
      const message = `this node is already exporting ${MAX_EXPORTS} images`;
      throw new BerthError({ code: "BERTH_LIMIT_EXCEEDED", message });
    }
    const exporting = this.#export(imageId).finally(() => this.#running.delete(imageId));
    // Each caller sees the error; this prevents an unhandled rejection after the last one has cancelled.
    exporting.catch(() => {});
    this.#running.set(imageId, exporting);
    return exporting;
  }

  async #export(imageId: string): Promise<Buffer> {
    const { engine, store, signal } = this.#options;
    const image = await engine.inspectImage(imageId, { signal });
    if (image === undefined) {
      throw new BerthError({ code: "BERTH_NOT_FOUND", message: `this node does not have image ${imageId}` });
    }
    await store.requireRoom(image.sizeBytes);
    const archive = await engine.saveImage(imageId, { signal });
    const config = await readSavedImage(archive, image.layers, async (content, digest) => {
      if (digest !== undefined && (await store.sizeOf(digest)) !== undefined) return;
      await store.add(content);
    });
    if (sha256Digest(config) !== imageId) {
      throw invalidImageError(`Docker exported a different image than ${imageId}`);
    }
    this.remember(imageId, config);
    return config;
  }

  /** Returns the image if all of its layers are in the store. */
  async #find(config: Buffer): Promise<ExportedImage | undefined> {
    const layers: { digest: string; sizeBytes: number }[] = [];
    for (const digest of parseImageConfig(config).layers) {
      const sizeBytes = await this.#options.store.sizeOf(digest);
      if (sizeBytes === undefined) return undefined;
      layers.push({ digest, sizeBytes });
    }
    return { config, layers };
  }
}
