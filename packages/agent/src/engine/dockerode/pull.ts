import { readField, readNumber, readString } from "../../core/docker/json.js";
import { raceSignal } from "../../runtime/race-signal.js";
import type { PullOptions, PullProgress } from "../engine.js";
import { EngineError } from "../engine-error.js";
import type { EngineClient } from "./client.js";
import { requireImageReference } from "./image-path.js";
import { readNdjson } from "./ndjson.js";
import { authConfig } from "./registry-auth.js";

/**
 * Maximum time without progress. The daemon reports progress about ten times a second while it downloads, and nothing
 * while a registry does not respond.
 */
const SILENCE_TIMEOUT_MS = 120_000;
/** Maximum number of layers whose progress is tracked. Docker permits 127 layers in an image. */
const MAX_LAYERS = 1_000;
/**
 * Maximum size of a layer that counts in the progress, so that the sum stays below the largest integer of a message.
 */
const MAX_LAYER_BYTES = 2 ** 40;
/** Minimum interval between two progress reports. Each is sent to the leader and to all clients that watch. */
const PROGRESS_INTERVAL_MS = 1_000;

/**
 * Pulls one image. The daemon responds with status 200 before it begins, so errors are found in the stream.
 *
 * @throws EngineError with the message of the registry or of Docker
 */
export async function pullImage(client: EngineClient, image: string, options: PullOptions): Promise<void> {
  const { signal, platform, credentials, onProgress } = options;
  requireImageReference(image);
  const silence = new SilenceTimer(signal, image);
  try {
    const body = await client.stream({
      method: "POST",
      path: "/images/create",
      query: { ...imageQuery(image), ...(platform === "" ? {} : { platform }) },
      registryAuth: credentials && authConfig(credentials),
      signal: silence.signal,
      timeoutMs: SILENCE_TIMEOUT_MS,
    });
    const layers = new Map<string, PullProgress>();
    let reportedAtMs = 0;
    for await (const line of readNdjson(body)) {
      silence.reset();
      const error = readString(readField(line, "error"));
      if (error !== "") throw new EngineError("failed", error);
      recordLayer(layers, line);
      if (onProgress !== undefined && Date.now() - reportedAtMs >= PROGRESS_INTERVAL_MS) {
        reportedAtMs = Date.now();
        onProgress(totalProgress(layers));
      }
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof EngineError) throw error;
    const text = error instanceof Error ? error.message : String(error);
    throw new EngineError("unavailable", `lost connection to Docker while pulling ${image}: ${text}`, error);
  } finally {
    silence.stop();
  }
}

/** Adds the tag "latest" where there is none: Docker would pull all tags. */
function imageQuery(image: string): { fromImage: string; tag: string } {
  const [name = "", digest] = image.split("@");
  if (digest !== undefined) return { fromImage: name, tag: digest };
  const colon = name.lastIndexOf(":");
  if (colon <= name.lastIndexOf("/")) return { fromImage: name, tag: "latest" };
  return { fromImage: name.slice(0, colon), tag: name.slice(colon + 1) };
}

function recordLayer(layers: Map<string, PullProgress>, line: unknown): void {
  const detail = readField(line, "progressDetail");
  const totalBytes = readNumber(readField(detail, "total"));
  const id = readString(readField(line, "id"));
  if (readString(readField(line, "status")) !== "Downloading") return;
  if (!Number.isInteger(totalBytes) || totalBytes <= 0 || totalBytes > MAX_LAYER_BYTES) return;
  if (layers.size >= MAX_LAYERS && !layers.has(id)) return;
  const receivedBytes = Math.floor(readNumber(readField(detail, "current")));
  layers.set(id, { receivedBytes: Math.min(totalBytes, Math.max(0, receivedBytes)), totalBytes });
}

function totalProgress(layers: ReadonlyMap<string, PullProgress>): PullProgress {
  let receivedBytes = 0;
  let totalBytes = 0;
  for (const layer of layers.values()) {
    receivedBytes += layer.receivedBytes;
    totalBytes += layer.totalBytes;
  }
  return { receivedBytes, totalBytes };
}

/** Provides a signal that fires with the outer signal, or after 120 s without a call of `reset`. */
class SilenceTimer {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal;
  readonly #onAbort = (): void => this.#controller.abort(this.#outer.reason);
  readonly #timer: NodeJS.Timeout;

  constructor(outer: AbortSignal, image: string) {
    this.#outer = outer;
    outer.addEventListener("abort", this.#onAbort, { once: true });
    this.#timer = setTimeout(() => {
      const seconds = SILENCE_TIMEOUT_MS / 1_000;
      const message = `no progress for ${seconds} s while pulling ${image}; check that its registry is reachable`;
      this.#controller.abort(new EngineError("failed", message));
    }, SILENCE_TIMEOUT_MS);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  reset(): void {
    this.#timer.refresh();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#outer.removeEventListener("abort", this.#onAbort);
  }
}

type Pull = (image: string, options: PullOptions) => Promise<void>;

interface RunningPull {
  readonly done: Promise<void>;
  readonly watchers: Set<(progress: PullProgress) => void>;
  readonly cancel: () => void;
  /** Number of callers that wait for the pull. */
  callers: number;
}

/**
 * Joins concurrent pulls of the same image with the same credentials. A pull is canceled when no caller is waiting for
 * it.
 */
export class SharedPulls {
  readonly #pull: Pull;
  readonly #running = new Map<string, RunningPull>();

  constructor(pull: Pull) {
    this.#pull = pull;
  }

  async pull(image: string, options: PullOptions): Promise<void> {
    const { signal, platform, credentials, onProgress } = options;
    requireImageReference(image);
    signal.throwIfAborted();
    const key = JSON.stringify([platform, image, credentials]);
    const running = this.#running.get(key) ?? this.#start(key, image, { platform, credentials });
    running.callers += 1;
    if (onProgress) running.watchers.add(onProgress);
    try {
      await raceSignal(running.done, signal);
    } finally {
      if (onProgress) running.watchers.delete(onProgress);
      running.callers -= 1;
      if (running.callers === 0) this.#cancel(key, running);
    }
  }

  #start(key: string, image: string, options: Pick<PullOptions, "platform" | "credentials">): RunningPull {
    const controller = new AbortController();
    const watchers = new Set<(progress: PullProgress) => void>();
    const onProgress = (progress: PullProgress): void => {
      for (const watcher of watchers) watcher(progress);
    };
    const done = this.#pull(image, { ...options, onProgress, signal: controller.signal });
    // Each caller gets the error. It is ignored once no caller waits.
    done.catch(() => {});
    const running = { done, watchers, cancel: () => controller.abort(), callers: 0 };
    this.#running.set(key, running);
    return running;
  }

  #cancel(key: string, running: RunningPull): void {
    if (this.#running.get(key) === running) this.#running.delete(key);
    running.cancel();
  }
}
