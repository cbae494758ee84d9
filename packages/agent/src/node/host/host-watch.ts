import { setTimeout as sleep } from "node:timers/promises";
import type { HostListener } from "@berth/proto";
import type { Engine } from "../../engine/engine.js";
import { ForeignListeners, type OwnPort } from "./foreign-listeners.js";
import type { Host } from "./host.js";

/** Programs are started by people: telling of them within seconds is soon enough. */
const LOOK_MS = 3_000;
/** Volumes come with tasks, of which we hear; others made them otherwise now and then. In looks at the host. */
const LOOKS_PER_VOLUME_LIST = 5;
/** The description of a node travels, and is stored, as a whole. */
const MAX_VOLUMES = 512;
/** What Docker calls a volume that nobody gave a name: it goes with its container. */
const ANONYMOUS = /^[0-9a-f]{64}$/;

export interface HostWatchOptions {
  readonly host: Host;
  readonly engine: Pick<Engine, "volumes">;
  /** Ports that the ingress and our containers hold. */
  readonly ownPorts: () => Iterable<OwnPort>;
  readonly onListeners: (listeners: readonly HostListener[]) => void;
  readonly onVolumes: (volumes: readonly string[]) => void;
  /** Docker is away, or does not list them. */
  readonly onVolumesUnknown: () => void;
}

/** Looks every few seconds at what else is on this host: ports that other programs hold, and named volumes. */
export class HostWatch {
  readonly #options: HostWatchOptions;
  readonly #foreign = new ForeignListeners();
  #looksToVolumes = 0;
  #wake: () => void = () => {};

  constructor(options: HostWatchOptions) {
    this.#options = options;
  }

  /** A task has started, and may have made volumes: they are listed with the next look. */
  volumesMayHaveChanged(): void {
    this.#looksToVolumes = 0;
  }

  /** Docker answers again: the host counts as ready once its volumes are known, so they are listed at once. */
  engineConnected(): void {
    this.#looksToVolumes = 0;
    this.#wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const pause = new AbortController();
      this.#wake = () => pause.abort();
      signal.addEventListener("abort", this.#wake, { once: true });
      await this.#look(signal);
      await sleep(LOOK_MS, undefined, { signal: pause.signal }).catch(() => {});
      signal.removeEventListener("abort", this.#wake);
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    await this.#lookAtListeners();
    this.#looksToVolumes -= 1;
    if (this.#looksToVolumes < 0) await this.#listVolumes(signal);
  }

  async #lookAtListeners(): Promise<void> {
    const { host, ownPorts, onListeners } = this.#options;
    onListeners(this.#foreign.update(await host.listeners().catch(() => []), ownPorts()));
  }

  async #listVolumes(signal: AbortSignal): Promise<void> {
    const { engine, onVolumes, onVolumesUnknown } = this.#options;
    this.#looksToVolumes = LOOKS_PER_VOLUME_LIST;
    try {
      const names = (await engine.volumes({ signal })).filter((name) => !ANONYMOUS.test(name));
      onVolumes(names.sort().slice(0, MAX_VOLUMES));
    } catch {
      onVolumesUnknown();
    }
  }
}
