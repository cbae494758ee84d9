import {
  type FetchImage,
  type ImageDiskUsage,
  type ImageFetched,
  type ImageInventory,
  ImageQuery,
  type ImageSource,
  type ImagesRemoved,
  isBerthError,
  type RemoveImages,
} from "@berth/proto";
import { isSha256Digest } from "@berth/proto/images";
import type { Session } from "../session.js";
import { AgentReplies } from "./agent-replies.js";
import type { RelayOptions } from "./agent-requests.js";

/** Timeout of a query. Longer than the 4 s that an agent waits for Docker. */
const QUERY_TIMEOUT_MS = 5_000;
/** Timeout of a removal. Docker removes a few GiB per second. */
const REMOVAL_TIMEOUT_MS = 6 * 60_000;
/** Timeout of a fetch. Allows for a large image over a slow network. */
const FETCH_TIMEOUT_MS = 60 * 60_000;

/** The inventory of one node. */
export interface NodeInventory {
  readonly nodeId: string;
  readonly images: ImageInventory["images"];
  readonly layers: readonly string[];
  readonly diskUsage: ImageDiskUsage | undefined;
}

/** The inventories of all nodes that transfer images. */
export interface Inventories {
  readonly nodes: readonly NodeInventory[];
  /** Reason for each missing inventory, by node. */
  readonly failures: ReadonlyMap<string, string>;
}

export interface ImageInventoriesOptions extends RelayOptions {
  /** Returns the connected nodes. */
  readonly nodeIds: () => Iterable<string>;
}

/** Queries agents about the images of their nodes, and requests fetches and removals. Keeps no state between calls. */
export class ImageInventories {
  readonly #options: ImageInventoriesOptions;
  readonly #inventories: AgentReplies<ImageInventory>;
  readonly #removals: AgentReplies<ImagesRemoved>;
  readonly #fetches: AgentReplies<ImageFetched>;

  constructor(options: ImageInventoriesOptions) {
    this.#options = options;
    this.#inventories = new AgentReplies(options);
    this.#removals = new AgentReplies(options);
    this.#fetches = new AgentReplies(options);
  }

  /** Returns the nodes whose agents support image transfer, which earlier releases lack. */
  get nodeIds(): readonly string[] {
    return [...this.#options.nodeIds()].filter((nodeId) => this.#sessionOf(nodeId) !== undefined);
  }

  recordInventory(nodeId: string, answer: ImageInventory): void {
    this.#inventories.record(nodeId, answer.requestId, answer);
  }

  recordRemoval(nodeId: string, answer: ImagesRemoved): void {
    this.#removals.record(nodeId, answer.requestId, answer);
  }

  recordFetch(nodeId: string, answer: ImageFetched): void {
    this.#fetches.record(nodeId, answer.requestId, answer);
  }

  /** Queries all nodes in parallel. Returns within 5 s. Never rejects. */
  async query(fields: Partial<ImageQuery>, signal: AbortSignal): Promise<Inventories> {
    const nodes: NodeInventory[] = [];
    const failures = new Map<string, string>();
    const queryNode = async (nodeId: string): Promise<void> => {
      try {
        const command = (requestId: string) =>
          ({ $case: "imageQuery", value: ImageQuery.fromPartial({ ...fields, requestId }) }) as const;
        const { images, layers, error, diskUsage } = await this.#inventories.request(
          { nodeId, command, timeoutMs: QUERY_TIMEOUT_MS },
          signal,
        );
        if (error !== "") {
          failures.set(nodeId, error);
        } else {
          nodes.push({ nodeId, images: images.filter(({ id }) => isSha256Digest(id)), layers, diskUsage });
        }
      } catch (error) {
        failures.set(nodeId, textOf(error));
      }
    };
    await Promise.all(this.nodeIds.map(queryNode));
    return { nodes, failures };
  }

  /**
   * Removes images from a node.
   *
   * @throws BerthError BERTH_NODE_UNREACHABLE
   */
  remove(
    nodeId: string,
    fields: Omit<RemoveImages, "requestId">,
    signal: AbortSignal,
  ): Promise<ImagesRemoved> {
    const command = (requestId: string) =>
      ({ $case: "removeImages", value: { ...fields, requestId } }) as const;
    return this.#removals.request({ nodeId, command, timeoutMs: REMOVAL_TIMEOUT_MS }, signal);
  }

  /** Requests that a node fetches an image. Returns why it failed; empty after a success. Never rejects. */
  async fetch(nodeId: string, fields: Omit<FetchImage, "requestId">, signal: AbortSignal): Promise<string> {
    const command = (requestId: string) =>
      ({ $case: "fetchImage", value: { ...fields, requestId } }) as const;
    try {
      return (await this.#fetches.request({ nodeId, command, timeoutMs: FETCH_TIMEOUT_MS }, signal)).error;
    } catch (error) {
      return textOf(error);
    }
  }

  #sessionOf(nodeId: string): Session | undefined {
    const session = this.#options.sessionOf(nodeId);
    return session?.transfersImages === true && !session.isEnded ? session : undefined;
  }
}

/** Returns the nodes with an image as sources for other nodes. */
export function imageSources(
  nodeIds: readonly string[],
  nodes: {
    get(
      nodeId: string,
    ): { readonly description?: { address: string; imagePort: number } | undefined } | undefined;
  },
  layersOf: (nodeId: string) => readonly string[] = () => [],
): ImageSource[] {
  return nodeIds.flatMap((nodeId) => {
    const { address = "", imagePort = 0 } = nodes.get(nodeId)?.description ?? {};
    if (address === "" || imagePort === 0) return [];
    const host = address.includes(":") ? `[${address}]` : address;
    return [{ nodeId, address: `${host}:${imagePort}`, layers: [...layersOf(nodeId)] }];
  });
}

function textOf(error: unknown): string {
  return isBerthError(error) || error instanceof Error ? error.message : String(error);
}
