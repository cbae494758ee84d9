import { setTimeout as sleep } from "node:timers/promises";
import type { HostListener } from "@berth/proto";
import type { Engine } from "../../engine/engine.js";
import { type BerthPort, ForeignListeners } from "./foreign-listeners.js";
import type { Host } from "./host.js";

/**
 * Interval between two listings of ports. Users start programs, so the leader needs to know of their ports within
 * seconds.
 */
const INTERVAL_MS = 3_000;
/**
 * Number of intervals between two listings of volumes. Most volumes are created by tasks, which call
 * `volumesMayHaveChanged`.
 */
const INTERVALS_PER_VOLUME_LIST = 5;
/** Maximum number of volumes in a node description, which the leader stores as one record. */
const MAX_VOLUMES = 512;
/** The form of Docker's names for anonymous volumes, which are removed with their container. */
const ANONYMOUS_VOLUME = /^[0-9a-f]{64}$/;

export interface HostWatchOptions {
  readonly host: Pick<Host, "listeners">;
  readonly engine: Pick<Engine, "volumes">;
  /** Returns the ports of the ingress process and of berth's containers. */
  readonly berthPorts: () => Iterable<BerthPort>;
  readonly onListeners: (listeners: readonly HostListener[]) => void;
  readonly onVolumes: (volumes: readonly string[]) => void;
  /** Called when dockerd does not list its volumes. */
  readonly onVolumesUnknown: () => void;
}

/** Reports, every few seconds, the ports that other programs on this host listen on, and Docker's named volumes. */
export class HostWatch {
  readonly #options: HostWatchOptions;
  readonly #foreignListeners = new ForeignListeners();
  #intervalsToVolumeList = 0;
  #wake: () => void = () => {};

  constructor(options: HostWatchOptions) {
    this.#options = options;
  }

  /** Called when a task has changed, which may have created volumes. Lists the volumes at the next interval. */
  volumesMayHaveChanged(): void {
    this.#intervalsToVolumeList = 0;
  }

  /** Called when Docker is available. Lists the volumes at once, because the host is ready only when they are known. */
  engineConnected(): void {
    this.#intervalsToVolumeList = 0;
    this.#wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const pause = new AbortController();
      this.#wake = () => pause.abort();
      signal.addEventListener("abort", this.#wake, { once: true });
      await this.#update(signal);
      // Rejects when `pause` is aborted, which ends the pause.
      await sleep(INTERVAL_MS, undefined, { signal: pause.signal }).catch(() => {});
      signal.removeEventListener("abort", this.#wake);
    }
  }

  async #update(signal: AbortSignal): Promise<void> {
    await this.#updateListeners();
    this.#intervalsToVolumeList -= 1;
    if (this.#intervalsToVolumeList < 0) await this.#updateVolumes(signal);
  }

  async #updateListeners(): Promise<void> {
    const { host, berthPorts, onListeners } = this.#options;
    // The last report stays valid until the sockets can be read again, such as when file descriptors are free.
    const listeners = await host.listeners().catch(() => undefined);
    if (listeners === undefined) return;
    onListeners(this.#foreignListeners.update(listeners, berthPorts()));
  }

  async #updateVolumes(signal: AbortSignal): Promise<void> {
    const { engine, onVolumes, onVolumesUnknown } = this.#options;
    this.#intervalsToVolumeList = INTERVALS_PER_VOLUME_LIST;
    try {
      const names = (await engine.volumes({ signal })).filter((name) => !ANONYMOUS_VOLUME.test(name));
      onVolumes(names.sort().slice(0, MAX_VOLUMES));
    } catch {
      onVolumesUnknown();
    }
  }
}
