import { type ImageDigest, isImageDigest, type RegistryCredentials } from "@berth/proto";
import type { ImageResolution } from "../../core/images/image-resolution.js";
import type { AgentCommand } from "../session.js";
import { AgentReplies } from "./agent-replies.js";
import type { RelayOptions } from "./agent-requests.js";

/** Timeout for all answers of one call. An agent gives a registry 4 s. */
const TIMEOUT_MS = 5_000;

/** The digest of one image to ask a node for. */
export interface ImageQuestion {
  /** Without a digest. */
  readonly image: string;
  readonly nodeId: string;
  /** For the registry of the image, in the order in which they are tried. */
  readonly credentials: readonly RegistryCredentials[];
}

/**
 * Resolves the tags of images to digests, by asking the Docker daemons of nodes: they have the mirrors, the certificates
 * and the network of the registries. Keeps nothing between two calls.
 */
export class ImageResolver {
  readonly #sessionOf: RelayOptions["sessionOf"];
  readonly #replies: AgentReplies<ImageDigest>;

  constructor(options: RelayOptions) {
    this.#sessionOf = options.sessionOf;
    this.#replies = new AgentReplies(options);
  }

  /** Returns whether the node's agent is connected and answers such questions, which earlier releases do not. */
  canAsk(nodeId: string): boolean {
    const session = this.#sessionOf(nodeId);
    return session?.resolvesImages === true && !session.isEnded;
  }

  /** Asks all questions at once. Returns a resolution of each image within 5 s. Never rejects. */
  async resolve(
    questions: readonly ImageQuestion[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, ImageResolution>> {
    const resolutions = await Promise.all(
      questions.map(async (question) => [question.image, await this.#ask(question, signal)] as const),
    );
    return new Map(resolutions);
  }

  /** Records the answer of a node. Ignores late answers, and those of other nodes than the asked one. */
  recordAnswer(nodeId: string, answer: ImageDigest): void {
    this.#replies.record(nodeId, answer.requestId, answer);
  }

  async #ask({ image, nodeId, credentials }: ImageQuestion, signal: AbortSignal): Promise<ImageResolution> {
    const command = (requestId: string): AgentCommand => ({
      $case: "imageDigestRequest",
      value: { requestId, image, credentials: [...credentials] },
    });
    try {
      return toResolution(await this.#replies.ask({ nodeId, command, timeoutMs: TIMEOUT_MS }, signal));
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      return { kind: "failed", reason: `node ${nodeId} cannot be asked: ${text}` };
    }
  }
}

/** Takes nothing but a digest from an answer: the repository is always that of the spec. */
function toResolution({ digest, isLocal, error }: ImageDigest): ImageResolution {
  if (isImageDigest(digest)) return { kind: "resolved", digest };
  if (isLocal) return { kind: "local" };
  return { kind: "failed", reason: error === "" ? "Docker returned no digest" : error };
}
