import {
  assertNever,
  type DispatcherServiceService,
  diskError,
  type ImageDownload,
  type ImageUpload,
  type ImageUploadStart,
  imageProblem,
  managedImageName,
  type NeededLayer,
  type ReceiveImageRequest,
  type StartImageUpload,
} from "@berth/proto";
import { invalidImageError, isSha256Digest, parseImageConfig, sha256Digest } from "@berth/proto/images";
import type { RpcClient, RpcTransport } from "@berth/proto/rpc";
import type { Logger } from "pino";
import type { ImageEngine } from "../engine/image-engine.js";
import { StreamRelay } from "../streams/stream-relay.js";
import { countPresentLayers } from "./image-importer.js";
import { ImagePeers } from "./image-peers.js";
import type { ImageTransfers } from "./image-transfers.js";
import { fetchLayers } from "./layer-fetcher.js";
import type { LayerStore } from "./layer-store.js";
import type { LayerWriter } from "./layer-writer.js";
import { UploadProgress } from "./upload-progress.js";

/** Maximum number of concurrent uploads. Each writes to the disk. */
const MAX_UPLOADS = 4;
/**
 * Maximum time for which a client may send nothing. Then it is disconnected; what it has sent stays for a later upload.
 */
const SILENCE_TIMEOUT_MS = 60_000;
/** Maximum number of layers of an uploaded image. */
const MAX_LAYERS = 200;

type Calls = Pick<RpcClient<DispatcherServiceService>, "receiveImage">;

export interface UploadReceiverOptions {
  readonly engine: ImageEngine;
  readonly store: LayerStore;
  /** The archives of shipped mounts. */
  readonly shipped: LayerStore;
  readonly transfers: ImageTransfers;
  readonly transport: Pick<RpcTransport, "connect" | "download">;
  readonly log: Logger;
}

/** Receives images and archives of shipped mounts that clients push, over a stream to the leader for each. */
export class UploadReceiver extends StreamRelay<StartImageUpload, "receiveImage"> {
  readonly #options: UploadReceiverOptions;
  readonly #log: Logger;
  readonly #uploads = new Set<ReceivedUpload>();

  constructor(options: UploadReceiverOptions) {
    super(options.log, MAX_UPLOADS);
    this.#options = options;
    this.#log = options.log;
  }

  /** Returns an image that a client is pushing. */
  progressOf(imageId: string): UploadProgress | undefined {
    return [...this.#uploads].find((upload) => upload.imageId === imageId)?.progress;
  }

  protected async relay(calls: Calls, request: StartImageUpload, signal: AbortSignal): Promise<void> {
    const { requestId, start } = request;
    const upload = new ReceivedUpload(this.#options, request, signal);
    this.#uploads.add(upload);
    const release = this.#options.store.hold();
    this.#log.info({ requestId, image: start?.image, imageId: start?.imageId }, "image upload started");
    try {
      for await (const message of calls.receiveImage(upload.messages(), { signal })) {
        if (message.upload !== undefined) await upload.handle(message.upload);
      }
    } finally {
      this.#uploads.delete(upload);
      await upload.end();
      release();
    }
  }

  protected async refuse(calls: Calls, { requestId }: StartImageUpload, maxStreams: number): Promise<void> {
    const error = `this node is already receiving ${maxStreams} images`;
    async function* messages(): AsyncGenerator<ReceiveImageRequest> {
      yield { requestId, download: undefined, error };
    }
    for await (const _ of calls.receiveImage(messages()));
  }
}

/** One image that a client sends. */
class ReceivedUpload {
  /** The parts that have arrived, for other nodes. */
  readonly progress = new UploadProgress();
  readonly #options: UploadReceiverOptions;
  readonly #request: StartImageUpload;
  readonly #signal: AbortSignal;
  readonly #ended = new AbortController();
  readonly #config: Promise<Buffer>;
  #receiveConfig: (config: Buffer) => void = () => {};
  #fail: (error: unknown) => void = () => {};
  #needed: ReadonlySet<string> = new Set();
  /**
   * The layer that the client sends. Its writer is undefined while the client sends one that another transfer has
   * completed.
   */
  #layer: { readonly digest: string; readonly writer: LayerWriter | undefined } | undefined;
  #silence: NodeJS.Timeout | undefined;

  constructor(options: UploadReceiverOptions, request: StartImageUpload, signal: AbortSignal) {
    this.#options = options;
    this.#request = request;
    this.#signal = AbortSignal.any([signal, this.#ended.signal]);
    this.#config = new Promise((resolve, reject) => {
      this.#receiveConfig = resolve;
      this.#fail = reject;
    });
    this.#config.catch(() => {});
    this.#signal.addEventListener("abort", () => this.#fail(this.#signal.reason), { once: true });
  }

  get imageId(): string {
    return this.#request.start?.imageId ?? "";
  }

  /** Yields what the client has to send, the progress and the result. Never throws. */
  async *messages(): AsyncGenerator<ReceiveImageRequest> {
    const { requestId } = this.#request;
    yield { requestId, download: undefined, error: "" };
    try {
      for await (const download of this.#receive()) yield { requestId, download, error: "" };
    } catch (error) {
      if (this.#signal.aborted) return;
      const text = diskError(error, "the layers of images")?.message;
      yield {
        requestId,
        download: undefined,
        error: text ?? (error instanceof Error ? error.message : String(error)),
      };
    }
  }

  /** Handles one message of the client. An error ends the upload. */
  async handle({ message }: ImageUpload): Promise<void> {
    this.#silence?.refresh();
    try {
      switch (message?.$case) {
        case "layerStart":
          return await this.#startLayer(message.value.digest);
        case "data":
          return await this.#layer?.writer?.write(message.value);
        case "layerEnd":
          return await this.#finishLayer();
        case "config":
          return this.#receiveConfig(Buffer.from(message.value));
        case "start":
        case undefined:
          return;
        default:
          return assertNever(message);
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Called when the client or the leader has left, and after the result. Keeps the layer that is not complete. */
  async end(): Promise<void> {
    clearTimeout(this.#silence);
    const { writer } = this.#layer ?? {};
    this.#layer = undefined;
    await writer?.suspend();
    this.progress.end(new Error("the upload ended before it was complete"));
    this.#ended.abort(new Error("the upload has ended"));
  }

  /** The store for the layers of this upload. */
  get #store(): LayerStore {
    const { store, shipped } = this.#options;
    return this.#request.start?.isShipped ? shipped : store;
  }

  async *#receive(): AsyncGenerator<ImageDownload> {
    const { engine } = this.#options;
    const start = requireStart(this.#request);
    const { layers } = start;
    const signal = this.#signal;
    const store = this.#store;
    const present = start.isShipped ? 0 : await countPresentLayers(layers, engine, { signal });
    const missing: string[] = [];
    for (const digest of new Set(layers.slice(present))) {
      if ((await store.sizeOf(digest)) === undefined) missing.push(digest);
    }
    const elsewhere = new Set(this.#request.sources.flatMap((source) => source.layers));
    const fromNodes = missing.filter((digest) => elsewhere.has(digest));
    const needed: NeededLayer[] = [];
    for (const digest of missing) {
      if (!elsewhere.has(digest)) needed.push({ digest, offset: await store.partialSizeOf(digest) });
    }
    this.#needed = new Set(needed.map(({ digest }) => digest));
    this.#startSilenceTimer();
    yield { message: { $case: "needed", value: { layers: needed } } };
    const fetching = this.#fetch(fromNodes);
    fetching.catch(this.#fail);
    const config = await this.#config;
    clearTimeout(this.#silence);
    await fetching;
    if (start.isShipped) await this.#requireArchive(start);
    else await this.#storeImage(start, config);
    yield { message: { $case: "stored", value: { nodeHostname: "" } } };
  }

  async #storeImage({ image, imageId, layers }: ImageUploadStart, config: Buffer): Promise<void> {
    if (sha256Digest(config) !== imageId || parseImageConfig(config).layers.join() !== layers.join()) {
      throw invalidImageError(`the client sent a configuration that is not that of ${imageId}`);
    }
    this.progress.add({ kind: "config", config });
    this.progress.end();
    const name = managedImageName(image, imageId);
    await this.#options.transfers.store({ image, imageId, name }, config, this.#signal);
  }

  async #requireArchive({ imageId }: ImageUploadStart): Promise<void> {
    if ((await this.#store.sizeOf(imageId)) !== undefined) return;
    throw invalidImageError(`the client did not send the archive ${imageId}`);
  }

  async #fetch(layers: readonly string[]): Promise<void> {
    const { transport } = this.#options;
    const store = this.#store;
    const peers = new ImagePeers(transport);
    try {
      const { sources } = this.#request;
      await fetchLayers({ layers, sources, peers, store, onBytes: () => {} }, this.#signal);
    } finally {
      peers.close();
    }
  }

  async #startLayer(digest: string): Promise<void> {
    if (this.#layer !== undefined || !this.#needed.has(digest)) {
      throw invalidImageError(`the client sent a layer that was not requested: ${digest.slice(0, 100)}`);
    }
    const store = this.#store;
    await store.requireRoom(0);
    this.#layer = { digest, writer: await store.write(digest, this.#signal) };
  }

  async #finishLayer(): Promise<void> {
    const layer = this.#layer;
    this.#layer = undefined;
    await layer?.writer?.finish();
    if (layer !== undefined) this.progress.add({ kind: "layer", digest: layer.digest });
  }

  #startSilenceTimer(): void {
    const seconds = SILENCE_TIMEOUT_MS / 1_000;
    this.#silence = setTimeout(
      () => this.#fail(new Error(`the client sent nothing for ${seconds} s`)),
      SILENCE_TIMEOUT_MS,
    );
  }
}

/**
 * Returns the start of an upload.
 *
 * @throws BerthError BERTH_IMAGE_INVALID if the start is missing or invalid
 */
function requireStart({ start }: StartImageUpload): ImageUploadStart {
  const isValid =
    start !== undefined &&
    (start.isShipped || imageProblem(start.image) === undefined) &&
    isSha256Digest(start.imageId) &&
    (!start.isShipped || start.layers.join() === start.imageId) &&
    start.layers.length <= MAX_LAYERS &&
    start.layers.every(isSha256Digest);
  if (!isValid) throw invalidImageError("the upload does not name an image");
  return start;
}
