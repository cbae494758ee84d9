import { setTimeout as sleep } from "node:timers/promises";
import {
  BerthError,
  type DispatcherServiceService,
  type FetchImage,
  type ImageFetched,
  ImageServiceService,
  type ImageSource,
  isBerthError,
  managedImageId,
  managedImageName,
} from "@berth/proto";
import { PERMISSIONS, type RpcClient, type RpcServer, type RpcTransport, rpcService } from "@berth/proto/rpc";
import type { Logger } from "pino";
import type { ImageEngine } from "../engine/image-engine.js";
import type { ArchiveSource } from "../files/shipped-files.js";
import type { ManagedImages } from "../tasks/image-cache.js";
import { ImageExporter } from "./image-exporter.js";
import { ImageInventoryResponder } from "./image-inventory.js";
import { ImagePeers } from "./image-peers.js";
import { ImageServer } from "./image-service.js";
import { ImageTransfers, type TransferCall, type WantedImage } from "./image-transfers.js";
import { fetchLayers } from "./layer-fetcher.js";
import type { LayerStore } from "./layer-store.js";
import { UploadReceiver } from "./upload-receiver.js";

/** Timeout of the call that asks the leader for the nodes that have an image. */
const FIND_TIMEOUT_MS = 10_000;
/** Time for the agent to get a session with the leader, for example during an election. */
const LEADER_WAIT_MS = 10_000;
/** Interval at which the agent checks whether it has a session with the leader. */
const LEADER_POLL_MS = 100;
/** Time for calls in flight to end when the image server closes. */
const CLOSE_GRACE_MS = 500;
/** Maximum length of an error message in a reply to the leader. */
const MAX_ERROR_LENGTH = 500;

type LeaderCalls = Pick<RpcClient<DispatcherServiceService>, "findImage">;

export interface NodeImagesOptions {
  readonly engine: ImageEngine;
  readonly store: LayerStore;
  /** The archives of shipped mounts. The leader reports when they are no longer used. */
  readonly shipped: LayerStore;
  readonly transport: RpcTransport;
  /** The "host:port" on which images are served to the agents of other nodes. */
  readonly listen: string;
  /** The platform of this host, such as "linux/amd64". */
  readonly platform: () => string;
  readonly log: Logger;
  /** Called with the port on which images are served. */
  readonly onListening: (port: number) => void;
  /** Aborts when the agent stops. */
  readonly signal: AbortSignal;
}

/**
 * The images and archives of shipped mounts that the cluster distributes: fetches them, serves them to other nodes, and
 * reports them to the leader.
 */
export class NodeImages implements ManagedImages, ArchiveSource {
  readonly inventory: ImageInventoryResponder;
  readonly uploads: UploadReceiver;
  readonly #options: NodeImagesOptions;
  readonly #transfers: ImageTransfers;
  readonly #exporter: ImageExporter;
  #leader: LeaderCalls | undefined;

  constructor(options: NodeImagesOptions) {
    const { engine, store, shipped, signal } = options;
    this.#options = options;
    this.#exporter = new ImageExporter({ engine, store, signal });
    this.#transfers = new ImageTransfers({ ...options, exporter: this.#exporter });
    this.inventory = new ImageInventoryResponder({ engine, store, shipped, now: Date.now, signal });
    this.uploads = new UploadReceiver({ ...options, transfers: this.#transfers });
  }

  /** Sets the leader to ask for sources. Undefined while there is no session. */
  setLeader(calls: LeaderCalls | undefined): void {
    this.#leader = calls;
  }

  /** Serves images until the signal is aborted. Without a listener, the node still gets images from others. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, shipped, log, onListening } = this.#options;
    await Promise.all([store.clean(), shipped.clean()]).catch((error: unknown) =>
      log.warn({ err: error }, "cannot clean up the layers of images"),
    );
    const server = await this.#listen();
    if (server !== undefined) onListening(Number(server.address.slice(server.address.lastIndexOf(":") + 1)));
    await new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => resolve(), { once: true });
      if (signal.aborted) resolve();
    });
    this.uploads.stopAll();
    await server?.close(CLOSE_GRACE_MS);
  }

  async isPresent(name: string, signal: AbortSignal): Promise<boolean> {
    return this.#transfers.ensureName(wantedImage(name), signal);
  }

  async fetch(name: string, call: TransferCall): Promise<void> {
    const target = wantedImage(name);
    const sources = await this.#findSources(target.imageId, call.signal);
    await this.#transfers.fetch(target, sources, call);
  }

  /** Opens the archive of a shipped mount. Fetches it from other nodes if this node lacks it. */
  async open(digest: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const { shipped } = this.#options;
    if ((await shipped.sizeOf(digest)) === undefined) {
      await this.#fetchShipped(digest, await this.#findSources(digest, signal), signal);
    }
    return shipped.read(digest);
  }

  async #fetchShipped(digest: string, sources: readonly ImageSource[], signal: AbortSignal): Promise<void> {
    const { shipped: store, transport } = this.#options;
    await store.requireRoom(0);
    const peers = new ImagePeers(transport);
    try {
      await fetchLayers({ layers: [digest], sources, peers, store, onBytes: () => {} }, signal);
    } finally {
      peers.close();
    }
  }

  /** Fetches an image for the leader, before a task needs it. Never rejects. */
  async prefetch(request: FetchImage): Promise<ImageFetched> {
    const { requestId, image, imageId, sources, pushedLayers, isShipped } = request;
    const { signal } = this.#options;
    try {
      if (isShipped) {
        await this.#fetchShipped(imageId, sources, signal);
        return { requestId, error: "" };
      }
      const target = { image, imageId, name: managedImageName(image, imageId) };
      await this.#transfers.fetch(target, sources, { signal, pushedLayers });
      return { requestId, error: "" };
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      return { requestId, error: text.slice(0, MAX_ERROR_LENGTH) };
    }
  }

  async #findSources(imageId: string, signal: AbortSignal): Promise<readonly ImageSource[]> {
    const deadlineMs = performance.now() + LEADER_WAIT_MS;
    while (this.#leader === undefined) {
      if (performance.now() > deadlineMs) {
        const message = "this node is not connected to a leader, which knows the nodes that have the image";
        throw new BerthError({ code: "BERTH_NO_LEADER", message });
      }
      await sleep(LEADER_POLL_MS, undefined, { signal });
    }
    const { sources } = await this.#leader.findImage({ imageId }, { signal, timeoutMs: FIND_TIMEOUT_MS });
    return sources;
  }

  async #listen(): Promise<RpcServer | undefined> {
    const { engine, store, shipped, transport, listen, log } = this.#options;
    const uploadOf = (imageId: string) => this.uploads.progressOf(imageId);
    const images = new ImageServer({ engine, store, shipped, exporter: this.#exporter, uploadOf });
    try {
      return await transport.serve({
        address: listen,
        services: [rpcService(ImageServiceService, images.handlers)],
        downloads: images.downloads,
        access: { permissions: PERMISSIONS, rolesOf: () => [] },
        onInternalError: (path, error) => log.error({ err: error, path }, "image call failed"),
      });
    } catch (error) {
      if (!isBerthError(error)) throw error;
      log.warn({ listen, reason: error.message }, "other nodes cannot get images from this node");
      return undefined;
    }
  }
}

/**
 * Returns the image with a name that berth gave it.
 *
 * @throws BerthError BERTH_INTERNAL for any other name
 */
export function wantedImage(name: string): WantedImage {
  const imageId = managedImageId(name);
  if (imageId === undefined) {
    throw new BerthError({ code: "BERTH_INTERNAL", message: `${name} is not an image of the cluster` });
  }
  const image = name.slice(name.indexOf("/") + 1, name.lastIndexOf(":"));
  return { image: `${image} (${imageId.slice(0, 19)})`, imageId, name };
}
