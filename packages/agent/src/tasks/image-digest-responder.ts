import type { ImageDigest, ImageDigestRequest, RegistryCredentials } from "@berth/proto";
import { isLocalImage } from "../core/images/local-image.js";
import { isRegistryDenial } from "../core/images/registry-logins.js";
import type { Engine } from "../engine/engine.js";
import { isEngineError } from "../engine/engine-error.js";
import { ConcurrencyLimit } from "./concurrency-limits.js";

/**
 * Timeout of a query. Shorter than the leader's, so that the leader receives the reason when a registry does not
 * respond.
 */
const TIMEOUT_MS = 4_000;
/**
 * Maximum number of unanswered requests: as many as one deployment can have services. The leader asks about each image
 * once.
 */
const MAX_REQUESTS = 1_000;
/** Maximum number of concurrent queries of registries, which limit the requests of a client. */
const MAX_CONCURRENT_QUERIES = 16;
/** Maximum number of concurrent inspections, which keep the daemon busy. */
const MAX_CONCURRENT_INSPECTIONS = 4;
/**
 * Maximum length of an error in a reply: enough for Docker's message with the URL of the registry. The leader refuses
 * more than 1,000 characters.
 */
const MAX_ERROR_LENGTH = 500;

/** Answers the leader's queries for image digests. Docker queries the registries. */
export class ImageDigestResponder {
  readonly #engine: Pick<Engine, "repoDigests" | "registryDigest">;
  readonly #signal: AbortSignal;
  /** Separate, so that an inspection does not wait for an unresponsive registry. */
  readonly #inspections = new ConcurrencyLimit(MAX_CONCURRENT_INSPECTIONS);
  readonly #queries = new ConcurrencyLimit(MAX_CONCURRENT_QUERIES);
  #pendingCount = 0;

  /** @param signal is aborted when the agent stops */
  constructor(engine: Pick<Engine, "repoDigests" | "registryDigest">, signal: AbortSignal) {
    this.#engine = engine;
    this.#signal = signal;
  }

  /** Returns undefined if too many requests are running, and when the agent stops. Never rejects. */
  async answer({ requestId, image, credentials }: ImageDigestRequest): Promise<ImageDigest | undefined> {
    if (this.#pendingCount >= MAX_REQUESTS) return undefined;
    this.#pendingCount += 1;
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    const emptyAnswer = { requestId, digest: "", isLocal: false, error: "" };
    try {
      const signal = AbortSignal.any([this.#signal, timeout]);
      return { ...emptyAnswer, ...(await this.#resolve(image, credentials, signal)) };
    } catch (error) {
      if (this.#signal.aborted) return undefined;
      const text = error instanceof Error ? error.message : String(error);
      const reason = timeout.aborted ? `no response from its registry within ${TIMEOUT_MS / 1_000} s` : text;
      return { ...emptyAnswer, error: reason.slice(0, MAX_ERROR_LENGTH) };
    } finally {
      this.#pendingCount -= 1;
    }
  }

  async #resolve(
    image: string,
    credentials: readonly RegistryCredentials[],
    signal: AbortSignal,
  ): Promise<Partial<ImageDigest>> {
    const repoDigests = await this.#run(this.#inspections, signal, () =>
      this.#engine.repoDigests(image, { signal }),
    );
    if (repoDigests !== undefined && isLocalImage(image, repoDigests)) return { isLocal: true };
    return { digest: await this.#run(this.#queries, signal, () => this.#query(image, credentials, signal)) };
  }

  /** Queries the registry with each of the credentials until it accepts one, or anonymously without credentials. */
  async #query(
    image: string,
    [credentials, ...others]: readonly RegistryCredentials[],
    signal: AbortSignal,
  ): Promise<string> {
    try {
      return await this.#engine.registryDigest(image, { signal, credentials });
    } catch (error) {
      const isDenied = isEngineError(error) && isRegistryDenial(error.message);
      if (!isDenied || others.length === 0) throw error;
      return this.#query(image, others, signal);
    }
  }

  #run<T>(limit: ConcurrencyLimit, signal: AbortSignal, operation: () => Promise<T>): Promise<T> {
    const start = async (): Promise<T> => {
      signal.throwIfAborted();
      return operation();
    };
    return limit.run(start, { isUrgent: false });
  }
}
