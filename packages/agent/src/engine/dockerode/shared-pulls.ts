import type { PullOptions, PullProgress } from "../engine.js";

type Pull = (image: string, options: PullOptions) => Promise<void>;

interface RunningPull {
  readonly done: Promise<void>;
  readonly watchers: Set<(progress: PullProgress) => void>;
  readonly cancel: () => void;
  waiting: number;
}

/** Joins callers that want the same image to one pull. The pull ends early only when nobody waits for it any more. */
export class SharedPulls {
  readonly #pull: Pull;
  readonly #running = new Map<string, RunningPull>();

  constructor(pull: Pull) {
    this.#pull = pull;
  }

  async pull(image: string, options: PullOptions): Promise<void> {
    const { signal, platform, onProgress } = options;
    signal.throwIfAborted();
    const key = `${platform} ${image}`;
    const running = this.#running.get(key) ?? this.#begin(key, image, platform);
    running.waiting += 1;
    if (onProgress) running.watchers.add(onProgress);
    try {
      await abortable(running.done, signal);
    } finally {
      if (onProgress) running.watchers.delete(onProgress);
      running.waiting -= 1;
      if (running.waiting === 0) this.#end(key, running);
    }
  }

  #begin(key: string, image: string, platform: string): RunningPull {
    const controller = new AbortController();
    const watchers = new Set<(progress: PullProgress) => void>();
    const onProgress = (progress: PullProgress): void => {
      for (const watcher of watchers) watcher(progress);
    };
    const done = this.#pull(image, { platform, onProgress, signal: controller.signal });
    done.catch(() => {});
    const running = { done, watchers, cancel: () => controller.abort(), waiting: 0 };
    this.#running.set(key, running);
    return running;
  }

  #end(key: string, running: RunningPull): void {
    if (this.#running.get(key) === running) this.#running.delete(key);
    running.cancel();
  }
}

function abortable(done: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    done.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
