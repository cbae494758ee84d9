import type { Logger } from "pino";
import type { OpenedPath } from "./kernel/open-kernel-path.js";
import type { ListenerManager } from "./listeners/listener-manager.js";
import type { ServiceDiscovery } from "./vips/service-discovery.js";

/** A process that is shutting down exits after this time even if connections are open. */
const MAX_DRAIN_MS = 60 * 60 * 1_000;
const CHECK_MS = 250;

/**
 * The process that replaces this one. `none`: no process, so the kernel's rules are removed. `restart`: a process that
 * starts later with its own sockets; the kernel's rules stay. `handover`: a successor that already serves on the same
 * sockets.
 */
export type SuccessorKind = "none" | "restart" | "handover";

export interface GracefulShutdownOptions {
  readonly log: Logger;
  readonly listeners: ListenerManager;
  readonly discovery: ServiceDiscovery;
  readonly path: OpenedPath;
  /** Releases the lock and the control socket. */
  readonly releaseControl: () => void;
}

/** Stops accepting connections, waits until open ones have ended, and exits. */
export class GracefulShutdown {
  readonly #options: GracefulShutdownOptions;
  #released: Promise<void> | undefined;

  constructor(options: GracefulShutdownOptions) {
    this.#options = options;
  }

  get hasBegun(): boolean {
    return this.#released !== undefined;
  }

  /** Resolves when everything is released that a successor needs. Later calls have no effect. */
  begin(reason: string, successor: SuccessorKind): Promise<void> {
    this.#released ??= this.#release(reason, successor);
    return this.#released;
  }

  async #release(reason: string, successor: SuccessorKind): Promise<void> {
    const { log, listeners, discovery, path, releaseControl: release } = this.#options;
    log.info(
      { reason, successor, connections: listeners.active },
      "shutting down; waiting for open connections",
    );
    const isLast = successor === "none";
    // The successor answers DNS queries on the same sockets.
    if (successor === "handover") await discovery.drain();
    else await discovery.close({ isLast });
    await path.close({ isLast });
    release();
    void listeners.apply({ version: listeners.version, listeners: [] });
    this.#exitWhenIdle();
  }

  #exitWhenIdle(): void {
    const { listeners, discovery } = this.#options;
    const startedMs = performance.now();
    setInterval(() => {
      const isOverdue = performance.now() - startedMs > MAX_DRAIN_MS;
      const isIdle = listeners.active === 0 && !discovery.isDraining;
      if (isIdle || isOverdue) process.exit(0);
    }, CHECK_MS);
  }
}
