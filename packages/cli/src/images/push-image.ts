import { BerthError, type ImageUpload, type NeededLayer, type PushImageRequest } from "@berth/proto";
import { readSavedImage, sha256Digest } from "@berth/proto/images";
import type { ControlClient } from "../client/client.js";
import type { Cli } from "../process/cli.js";
import { HandOver } from "./hand-over.js";
import { LayerSpool } from "./layer-spool.js";
import { type LocalImage, saveLocalImage } from "./local-docker.js";
import { type SavedLayer, StreamedLayer } from "./saved-layer.js";

export interface ImagePush {
  /** "name:tag" */
  readonly image: string;
  readonly local: LocalImage;
  /** Empty to let the leader select a node. */
  readonly nodes: readonly string[];
}

export interface PushProgress {
  readonly sentBytes: number;
  /** Number of layers to send. 0 when nodes have all of them. */
  readonly neededLayers: number;
  /** Names of the nodes that have the image. */
  readonly storedOn: readonly string[];
}

/**
 * Sends an image from the local Docker daemon to the cluster, without the layers that nodes already have.
 * @throws BerthError of Docker or of the server
 */
export async function pushImage(
  cli: Cli,
  client: ControlClient,
  push: ImagePush,
  onProgress: (progress: PushProgress) => void,
): Promise<PushProgress> {
  const ended = new AbortController();
  const signal = AbortSignal.any([cli.signal, ended.signal]);
  let progress: PushProgress = { sentBytes: 0, neededLayers: 0, storedOn: [] };
  const report = (change: Partial<PushProgress>): void => {
    progress = { ...progress, ...change };
    onProgress(progress);
  };
  const upload = new Upload(cli, push, {
    signal,
    onSent: (bytes) => report({ sentBytes: progress.sentBytes + bytes }),
  });
  try {
    for await (const { message } of client.pushImage(upload.messages(), { signal })) {
      if (message?.$case === "needed") {
        report({ neededLayers: message.value.layers.length });
        upload.start(message.value.layers);
      }
      if (message?.$case === "stored") {
        upload.finish();
        report({ storedOn: [...progress.storedOn, message.value.nodeHostname] });
      }
    }
    return progress;
  } catch (error) {
    // A failed upload is the cause of the failed call.
    throw upload.error ?? error;
  } finally {
    ended.abort(new Error("the push has ended"));
    upload.finish();
    await upload.close();
  }
}

interface UploadOptions {
  readonly signal: AbortSignal;
  readonly onSent: (bytes: number) => void;
}

/** The messages of one push. */
class Upload {
  /** The upload's own error. Undefined if it did not fail, or only ended with the call. */
  error: unknown;
  readonly #cli: Cli;
  readonly #push: ImagePush;
  readonly #options: UploadOptions;
  readonly #spool = new LayerSpool();
  readonly #needed: Promise<readonly NeededLayer[] | undefined>;
  #settleNeeded: (needed: readonly NeededLayer[] | undefined) => void = () => {};

  constructor(cli: Cli, push: ImagePush, options: UploadOptions) {
    this.#cli = cli;
    this.#push = push;
    this.#options = options;
    this.#needed = new Promise((resolve) => {
      this.#settleNeeded = resolve;
    });
  }

  /** Starts to send the layers that the node needs. */
  start(needed: readonly NeededLayer[]): void {
    this.#settleNeeded(needed);
  }

  /** Ends the upload when the node has the image. */
  finish(): void {
    this.#settleNeeded(undefined);
  }

  close(): Promise<void> {
    return this.#spool.close();
  }

  async *messages(): AsyncGenerator<PushImageRequest> {
    const { image, local, nodes } = this.#push;
    const { id: imageId, layers, platform } = local;
    const start = { image, imageId, layers: [...layers], platform, isShipped: false };
    yield { upload: { message: { $case: "start", value: start } }, nodes: [...nodes] };
    const needed = await this.#needed;
    if (needed === undefined) return;
    try {
      for await (const message of this.#layers(needed)) yield { upload: { message }, nodes: [] };
    } catch (error) {
      if (!this.#options.signal.aborted) this.error = error;
      throw error;
    }
  }

  /** Yields the needed layers while Docker saves the next ones, then the configuration. */
  async *#layers(needed: readonly NeededLayer[]): AsyncGenerator<NonNullable<ImageUpload["message"]>> {
    const offsets = new Map(needed.map(({ digest, offset }) => [digest, offset]));
    const saved = new HandOver<SavedLayer>();
    const saving = this.#save(offsets, saved).finally(() => saved.end());
    saving.catch(() => {});
    for (let layer = await saved.take(); layer !== undefined; layer = await saved.take()) {
      const { digest } = layer;
      yield { $case: "layerStart", value: { digest } };
      for await (const data of layer.read(offsets.get(digest) ?? 0)) {
        yield { $case: "data", value: data };
        this.#options.onSent(data.length);
      }
      yield { $case: "layerEnd", value: {} };
    }
    yield { $case: "config", value: await saving };
  }

  /** Saves the image, hands over each needed layer once, and returns the configuration. */
  async #save(offsets: ReadonlyMap<string, number>, saved: HandOver<SavedLayer>): Promise<Buffer> {
    const { signal } = this.#options;
    const { image, local } = this.#push;
    const sent = new Set<string>();
    const { archive, done } = saveLocalImage(this.#cli, image, signal);
    const config = await readSavedImage(archive, local.layers, async (content, digest) => {
      const isNeeded = (layer: string): boolean => offsets.has(layer) && !sent.has(layer);
      if (digest === undefined) {
        const layer = await this.#spool.add(content);
        if (!isNeeded(layer.digest)) return layer.remove();
        sent.add(layer.digest);
        return saved.put(layer, signal);
      }
      if (!isNeeded(digest)) return;
      sent.add(digest);
      const layer = new StreamedLayer(digest, content);
      await saved.put(layer, signal);
      await layer.wasRead(signal);
    });
    await done;
    if (sha256Digest(config) !== local.id) throw changedImage(image);
    return config;
  }
}

function changedImage(image: string): BerthError {
  return new BerthError({
    code: "BERTH_CONFLICT",
    message: `image ${image} was not pushed: Docker saved a different image than it listed: it may have been rebuilt meanwhile, or Docker uses the containerd image store`,
  });
}
