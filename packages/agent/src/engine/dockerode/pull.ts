import { fieldOf, numberOf, textOf } from "../../core/docker/json.js";
import type { PullOptions, PullProgress } from "../engine.js";
import { EngineError } from "../engine-error.js";
import type { EngineClient } from "./client.js";
import { readNdjson } from "./ndjson.js";

/** The daemon writes progress about ten times a second while it loads; it is silent while a registry does not answer. */
const SILENCE_TIMEOUT_MS = 120_000;
/** Each word of it travels to the leader and on to whoever watches. */
const PROGRESS_INTERVAL_MS = 1_000;

/**
 * Pulls one image. The daemon answers "200" before it begins, so the stream is read to its end and its error lines count.
 * @throws EngineError with the registry's or Docker's words.
 */
export async function pullImage(client: EngineClient, image: string, options: PullOptions): Promise<void> {
  const { signal, platform, onProgress } = options;
  const silence = new SilenceTimer(signal, image);
  try {
    const body = await client.stream({
      method: "POST",
      path: "/images/create",
      query: { ...imageQuery(image), ...(platform === "" ? {} : { platform }) },
      signal: silence.signal,
      timeoutMs: SILENCE_TIMEOUT_MS,
    });
    const layers = new Map<string, PullProgress>();
    let reportedAtMs = 0;
    for await (const line of readNdjson(body)) {
      silence.reset();
      const error = textOf(fieldOf(line, "error"));
      if (error !== "") throw new EngineError("failed", error);
      noteLayer(layers, line);
      if (onProgress !== undefined && Date.now() - reportedAtMs >= PROGRESS_INTERVAL_MS) {
        reportedAtMs = Date.now();
        onProgress(sum(layers));
      }
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof EngineError) throw error;
    const text = error instanceof Error ? error.message : String(error);
    throw new EngineError("unavailable", `Docker broke off while it pulled ${image}: ${text}`, error);
  } finally {
    silence.stop();
  }
}

/** Without a tag Docker would pull every tag of the repository. */
function imageQuery(image: string): { fromImage: string; tag: string } {
  const [name = "", digest] = image.split("@");
  if (digest !== undefined) return { fromImage: name, tag: digest };
  const colon = name.lastIndexOf(":");
  if (colon <= name.lastIndexOf("/")) return { fromImage: name, tag: "latest" };
  return { fromImage: name.slice(0, colon), tag: name.slice(colon + 1) };
}

function noteLayer(layers: Map<string, PullProgress>, line: unknown): void {
  const detail = fieldOf(line, "progressDetail");
  const totalBytes = numberOf(fieldOf(detail, "total"));
  if (textOf(fieldOf(line, "status")) !== "Downloading" || totalBytes === 0) return;
  layers.set(textOf(fieldOf(line, "id")), {
    receivedBytes: numberOf(fieldOf(detail, "current")),
    totalBytes,
  });
}

function sum(layers: ReadonlyMap<string, PullProgress>): PullProgress {
  let receivedBytes = 0;
  let totalBytes = 0;
  for (const layer of layers.values()) {
    receivedBytes += layer.receivedBytes;
    totalBytes += layer.totalBytes;
  }
  return { receivedBytes, totalBytes };
}

/** A signal that also fires when nothing has come for too long. */
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
      const message = `no progress for ${seconds} s while pulling ${image}: is its registry reachable?`;
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
