import type { ImageFacts } from "../core/tasks/task-view.js";
import type { Engine, PullOptions } from "../engine/engine.js";

/** Bounds the memory over years of new tags. */
const MAX_IMAGES = 1_000;

const UNKNOWN: ImageFacts = { state: "unknown", pullBeganAtMs: 0 };

/** Caches which images the host has, so that a hundred tasks of one image need one request. */
export class ImageCache {
  readonly #engine: Engine;
  readonly #now: () => number;
  readonly #facts = new Map<string, ImageFacts>();
  readonly #checks = new Map<string, Promise<void>>();

  constructor(engine: Engine, now: () => number) {
    this.#engine = engine;
    this.#now = now;
  }

  factsOf(image: string): ImageFacts {
    return this.#facts.get(image) ?? UNKNOWN;
  }

  /**
   * Marks the image as unknown. Called when Docker reports that it is missing, because it was removed outside berth.
   */
  forget(image: string): void {
    this.#facts.delete(image);
  }

  clear(): void {
    this.#facts.clear();
  }

  /** Asks Docker whether the image is present, unless that is known. Concurrent callers share one request. */
  async ensureKnown(image: string, signal: AbortSignal): Promise<void> {
    if (this.factsOf(image).state !== "unknown") return;
    const running = this.#checks.get(image);
    if (running !== undefined) return running;
    const check = this.#check(image, signal).finally(() => this.#checks.delete(image));
    this.#checks.set(image, check);
    return check;
  }

  /** Pulls the image and records that it is present. */
  async pull(image: string, options: PullOptions): Promise<void> {
    const pullBeganAtMs = this.#now();
    await this.#engine.pull(image, options);
    this.#store(image, { state: "present", pullBeganAtMs });
  }

  async #check(image: string, signal: AbortSignal): Promise<void> {
    const exists = await this.#engine.imageExists(image, { signal });
    const { pullBeganAtMs } = this.factsOf(image);
    this.#store(image, { state: exists ? "present" : "absent", pullBeganAtMs });
  }

  #store(image: string, facts: ImageFacts): void {
    this.#facts.delete(image);
    this.#facts.set(image, facts);
    const [oldest] = this.#facts.keys();
    if (this.#facts.size > MAX_IMAGES && oldest !== undefined) this.#facts.delete(oldest);
  }
}
