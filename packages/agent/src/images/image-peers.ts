import { BerthError, ImageServiceService, type ImageSource } from "@berth/proto";
import { invalidImageError, MAX_CONFIG_BYTES, parseImageConfig, sha256Digest } from "@berth/proto/images";
import type { DownloadOptions, RpcConnection, RpcTransport } from "@berth/proto/rpc";
import type { LayerStore } from "./layer-store.js";
import type { UploadedPart } from "./upload-progress.js";

/** Timeout of a query for an image's layers. A node that exports an image responds when the export is complete. */
const DESCRIBE_TIMEOUT_MS = 10 * 60_000;
/** Maximum time for which a source may send nothing. It may have to export the image first. */
const SILENCE_TIMEOUT_MS = 60_000;

/** An image as another node describes it. */
export interface DescribedImage {
  readonly config: Buffer;
  readonly layers: readonly { readonly digest: string; readonly sizeBytes: number }[];
}

/** Connections to the agents of other nodes during one transfer. */
export class ImagePeers {
  readonly #transport: Pick<RpcTransport, "connect" | "download">;
  readonly #open = new Map<string, RpcConnection<typeof ImageServiceService>>();

  constructor(transport: Pick<RpcTransport, "connect" | "download">) {
    this.#transport = transport;
  }

  close(): void {
    for (const connection of this.#open.values()) connection.close();
    this.#open.clear();
  }

  /**
   * Asks a node for a description of an image.
   *
   * @throws BerthError BERTH_IMAGE_INVALID if it describes another image
   */
  async describe(source: ImageSource, imageId: string, signal: AbortSignal): Promise<DescribedImage> {
    const options = { signal, timeoutMs: DESCRIBE_TIMEOUT_MS };
    const answer = await this.#callsTo(source).describeImage({ imageId }, options);
    const { config, layerSizes } = answer;
    if (config.length > MAX_CONFIG_BYTES || sha256Digest(config) !== imageId) {
      throw invalidImageError(`node ${source.nodeId} described a different image than ${imageId}`);
    }
    const digests = parseImageConfig(config).layers;
    if (
      layerSizes.length !== digests.length ||
      !layerSizes.every((bytes) => Number.isSafeInteger(bytes) && bytes >= 0)
    ) {
      throw invalidImageError(`node ${source.nodeId} did not report the sizes of the layers`);
    }
    const layers = digests.map((digest, index) => ({ digest, sizeBytes: layerSizes[index] ?? 0 }));
    return { config, layers };
  }

  /**
   * Yields the parts of an image that a client is pushing to a node. Waits as long as the node waits for the client.
   *
   * @throws BerthError if the upload fails, or the node does not know it
   */
  async *watchUpload(
    source: ImageSource,
    imageId: string,
    signal: AbortSignal,
  ): AsyncGenerator<UploadedPart> {
    for await (const { part } of this.#callsTo(source).watchUpload({ imageId }, { signal })) {
      if (part?.$case === "layer") yield { kind: "layer", digest: part.value };
      if (part?.$case === "config") yield { kind: "config", config: Buffer.from(part.value) };
    }
  }

  /**
   * Copies a layer from a node into the store, resuming an interrupted transfer. Calls `onBytes` with the number of
   * bytes in each message.
   *
   * @throws BerthError BERTH_IMAGE_INVALID if the node sends different content
   */
  async copyLayer(
    source: ImageSource,
    { digest, store, onBytes }: LayerCopy,
    signal: AbortSignal,
  ): Promise<void> {
    const writer = await store.write(digest, signal);
    if (writer === undefined) return;
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(silentSourceError(source)), SILENCE_TIMEOUT_MS);
    try {
      const write = (bytes: Uint8Array): Promise<void> | undefined => {
        timer.refresh();
        onBytes(bytes.length);
        return writer.write(bytes);
      };
      const inner = AbortSignal.any([signal, silence.signal]);
      await this.#readLayer(source, { digest, offset: writer.offset }, { write, signal: inner });
    } catch (error) {
      await writer.suspend();
      throw error;
    } finally {
      clearTimeout(timer);
    }
    await writer.finish();
  }

  async #readLayer(
    source: ImageSource,
    request: { readonly digest: string; readonly offset: number },
    { write, signal }: Pick<DownloadOptions, "write" | "signal">,
  ): Promise<void> {
    const { address, nodeId } = source;
    const { digest, offset } = request;
    if (await this.#transport.download(digest, { address, nodeId, offset, write, signal })) return;
    // The source is an agent of the previous release, which serves layers by this call only.
    for await (const { data } of this.#callsTo(source).readLayer(request, { signal })) await write(data);
  }

  #callsTo({ address, nodeId }: ImageSource): RpcConnection<typeof ImageServiceService>["calls"] {
    const open = this.#open.get(address) ?? this.#transport.connect(ImageServiceService, { address, nodeId });
    this.#open.set(address, open);
    return open.calls;
  }
}

export interface LayerCopy {
  readonly digest: string;
  readonly store: LayerStore;
  readonly onBytes: (bytes: number) => void;
}

function silentSourceError({ nodeId }: ImageSource): BerthError {
  return new BerthError({
    code: "BERTH_NODE_UNREACHABLE",
    message: `node ${nodeId} has sent nothing for ${SILENCE_TIMEOUT_MS / 1_000} s`,
  });
}
