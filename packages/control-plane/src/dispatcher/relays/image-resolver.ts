import { type ImageDigest, isImageDigest, type RegistryCredentials } from "@berth/proto";
import type { ImageResolution } from "../../core/images/image-resolution.js";
import type { AgentCommand } from "../session.js";
import { AgentReplies } from "./agent-replies.js";
import type { RelayOptions } from "./agent-requests.js";

/** Timeout of one call. Longer than the 4 s that an agent waits for a registry. */
const TIMEOUT_MS = 5_000;

/** A request to a node for the digest of one image. */
export interface ImageRequest {
  /** The image reference, without a digest. */
  readonly image: string;
  readonly nodeId: string;
  /** Logins for the registry of the image, in the order in which they are tried. */
  readonly credentials: readonly RegistryCredentials[];
}

/**
 * Resolves image tags to digests with the Docker daemons of nodes, which have the mirrors, certificates and network
 * access of the registries. Keeps no state between calls.
 */
export class ImageResolver {
  readonly #sessionOf: RelayOptions["sessionOf"];
  readonly #replies: AgentReplies<ImageDigest>;

  constructor(options: RelayOptions) {
    this.#sessionOf = options.sessionOf;
    this.#replies = new AgentReplies(options);
  }

  isConnected(nodeId: string): boolean {
    return this.#sessionOf(nodeId)?.isEnded === false;
  }

  /** Returns whether the node's agent is connected and can resolve images, which earlier releases cannot. */
  canResolveImages(nodeId: string): boolean {
    return this.isConnected(nodeId) && this.#sessionOf(nodeId)?.resolvesImages === true;
  }

  /** Sends all requests in parallel. Returns a resolution for each image within 5 s. Never rejects. */
  async resolve(
    requests: readonly ImageRequest[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, ImageResolution>> {
    const resolutions = await Promise.all(
      requests.map(async (request) => [request.image, await this.#request(request, signal)] as const),
    );
    return new Map(resolutions);
  }

  /** Records the reply of a node. Ignores late replies, and replies of other nodes. */
  recordReply(nodeId: string, reply: ImageDigest): void {
    this.#replies.record(nodeId, reply.requestId, reply);
  }

  async #request(
    { image, nodeId, credentials }: ImageRequest,
    signal: AbortSignal,
  ): Promise<ImageResolution> {
    const command = (requestId: string): AgentCommand => ({
      $case: "imageDigestRequest",
      value: { requestId, image, credentials: [...credentials] },
    });
    try {
      return toResolution(await this.#replies.request({ nodeId, command, timeoutMs: TIMEOUT_MS }, signal));
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      return { kind: "failed", reason: `node ${nodeId} cannot be queried: ${text}` };
    }
  }
}

/** Uses only the digest of a reply; the repository is always the one in the spec. */
function toResolution({ digest, isLocal, error }: ImageDigest): ImageResolution {
  if (isImageDigest(digest)) return { kind: "resolved", digest };
  if (isLocal) return { kind: "local" };
  return { kind: "failed", reason: error === "" ? "Docker returned no digest" : error };
}
