import { managedImageId } from "@berth/proto";
import type { ImageFacts } from "../core/tasks/task-view.js";
import type { Engine, PullOptions, PullProgress } from "../engine/engine.js";

/** Maximum number of cached images, which limits memory use over years of new tags. */
const MAX_IMAGES = 1_000;

const UNKNOWN_IMAGE: ImageFacts = { state: "unknown", pullBeganAtMs: 0 };

/** The images that the cluster distributes without a registry, by the names that berth gives them. */
export interface ManagedImages {
  /** Returns whether Docker has the image. */
  isPresent(name: string, signal: AbortSignal): Promise<boolean>;
  /** Fetches the image from other nodes. */
  fetch(
    name: string,
    options: { readonly signal: AbortSignal; readonly onProgress?: (progress: PullProgress) => void },
  ): Promise<void>;
}

/** Caches which images the host has, so that a hundred tasks of one image need one request. */
export class ImageCache {
  readonly #engine: Engine;
  readonly #managed: ManagedImages | undefined;
  readonly #now: () => number;
  readonly #facts = new Map<string, ImageFacts>();
  readonly #checks = new Map<string, Promise<void>>();

  /** @param managed undefined where nodes do not transfer images, as in the simulation */
  constructor(engine: Engine, now: () => number, managed?: ManagedImages) {
    this.#engine = engine;
    this.#managed = managed;
    this.#now = now;
  }

  factsOf(image: string): ImageFacts {
    return this.#facts.get(image) ?? UNKNOWN_IMAGE;
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
    const managed = this.#managedOf(image);
    if (managed === undefined) await this.#engine.pull(image, options);
    else await managed.fetch(image, options);
    this.#store(image, { state: "present", pullBeganAtMs });
  }

  async #check(image: string, signal: AbortSignal): Promise<void> {
    const managed = this.#managedOf(image);
    const exists =
      managed === undefined
        ? await this.#engine.imageExists(image, { signal })
        : await managed.isPresent(image, signal);
    const { pullBeganAtMs } = this.factsOf(image);
    this.#store(image, { state: exists ? "present" : "absent", pullBeganAtMs });
  }

  #managedOf(image: string): ManagedImages | undefined {
    return managedImageId(image) === undefined ? undefined : this.#managed;
  }

  #store(image: string, facts: ImageFacts): void {
    this.#facts.delete(image);
    this.#facts.set(image, facts);
    const [oldest] = this.#facts.keys();
    if (this.#facts.size > MAX_IMAGES && oldest !== undefined) this.#facts.delete(oldest);
  }
}
