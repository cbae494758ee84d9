import { BerthError, type NeededLayer } from "@berth/proto";
import { readSavedImage, sha256Digest } from "@berth/proto/images";
import type { ControlClient } from "../client/client.js";
import type { Cli } from "../process/cli.js";
import { LayerSpool } from "./layer-spool.js";
import { type LocalImage, saveLocalImage } from "./local-docker.js";
import { type PushProgress, pushContent, type UploadMessage } from "./push-content.js";
import { type SavedLayer, StreamedLayer } from "./saved-layer.js";
import { UnbufferedChannel } from "./unbuffered-channel.js";

export interface ImagePush {
  /** "name:tag" */
  readonly image: string;
  readonly local: LocalImage;
  /** Nodes that receive the image. Empty to let the leader select them. */
  readonly nodes: readonly string[];
}

/**
 * Sends an image from the local Docker daemon to the cluster, without the layers that nodes already have.
 *
 * @throws the BerthError of the local Docker daemon or of the server
 */
export async function pushImage(
  cli: Cli,
  client: ControlClient,
  push: ImagePush,
  onProgress: (progress: PushProgress) => void,
): Promise<PushProgress> {
  const { image, local, nodes } = push;
  const { id: imageId, layers, platform } = local;
  const start = { image, imageId, layers: [...layers], platform, isShipped: false };
  const source = new ImageSource(cli, push);
  const messages = source.messages.bind(source);
  try {
    return await pushContent(client, { start, nodes, messages }, onProgress, cli.signal);
  } finally {
    await source.close();
  }
}

/** Reads the layers of an image from the local Docker daemon. */
class ImageSource {
  readonly #cli: Cli;
  readonly #push: ImagePush;
  readonly #spool = new LayerSpool();

  constructor(cli: Cli, push: ImagePush) {
    this.#cli = cli;
    this.#push = push;
  }

  close(): Promise<void> {
    return this.#spool.close();
  }

  /** Yields the needed layers while Docker saves the next ones, then the configuration. */
  async *messages(needed: readonly NeededLayer[], signal: AbortSignal): AsyncGenerator<UploadMessage> {
    const offsets = new Map(needed.map(({ digest, offset }) => [digest, offset]));
    const saved = new UnbufferedChannel<SavedLayer>();
    const saving = this.#save(offsets, saved, signal).finally(() => saved.end());
    saving.catch(() => {});
    for (let layer = await saved.take(); layer !== undefined; layer = await saved.take()) {
      const { digest } = layer;
      yield { $case: "layerStart", value: { digest } };
      for await (const data of layer.read(offsets.get(digest) ?? 0)) yield { $case: "data", value: data };
      yield { $case: "layerEnd", value: {} };
    }
    yield { $case: "config", value: await saving };
  }

  /** Saves the image, hands over each needed layer once, and returns the configuration. */
  async #save(
    offsets: ReadonlyMap<string, number>,
    saved: UnbufferedChannel<SavedLayer>,
    signal: AbortSignal,
  ): Promise<Buffer> {
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
      await layer.whenRead(signal);
    });
    await done;
    if (sha256Digest(config) !== local.id) throw changedImageError(image);
    return config;
  }
}

function changedImageError(image: string): BerthError {
  return new BerthError({
    code: "BERTH_CONFLICT",
    message: `image ${image} was not pushed: Docker saved a different image than it listed: it may have been rebuilt meanwhile, or Docker uses the containerd image store`,
  });
}
