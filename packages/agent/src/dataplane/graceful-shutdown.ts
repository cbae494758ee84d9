import type { Logger } from "pino";
import type { OpenedPath } from "./kernel/open-kernel-path.js";
import type { ListenerManager } from "./listeners/listener-manager.js";
import type { ServiceDiscovery } from "./vips/service-discovery.js";

/** Time after which the process exits even if connections are still open. */
const MAX_DRAIN_MS = 60 * 60 * 1_000;
/** How often the process checks whether the last connection has ended. */
const CHECK_MS = 250;

/** The ingress process that follows this one. */
export type SuccessorKind =
  /** No process follows, so the kernel's rules are removed. */
  | "none"
  /** A process starts later with its own sockets. The kernel's rules stay. */
  | "restart"
  /** A process already serves on the same sockets. */
  | "handover";

export interface GracefulShutdownOptions {
  readonly log: Logger;
  readonly listeners: ListenerManager;
  readonly discovery: ServiceDiscovery;
  readonly path: OpenedPath;
  /** Releases the lock and the control socket. */
  readonly releaseControl: () => void;
}

/** Ends the ingress process: stops accepting connections, waits until open ones have ended, and exits. */
export class GracefulShutdown {
  readonly #options: GracefulShutdownOptions;
  #released: Promise<void> | undefined;

  constructor(options: GracefulShutdownOptions) {
    this.#options = options;
  }

  get hasBegun(): boolean {
    return this.#released !== undefined;
  }

  /** Resolves when everything that a successor needs is released. Later calls have no effect. */
  begin(reason: string, successor: SuccessorKind): Promise<void> {
    this.#released ??= this.#releaseResources(reason, successor);
    return this.#released;
  }

  async #releaseResources(reason: string, successor: SuccessorKind): Promise<void> {
    const { log, listeners, discovery, path, releaseControl: release } = this.#options;
    log.info(
      { reason, successor, connections: listeners.active },
      "shutting down; waiting for open connections",
    );
    const isLast = successor === "none";
    // The successor answers DNS queries on the same sockets.
    const closeDiscovery = (): Promise<void> =>
      successor === "handover" ? discovery.drain() : discovery.close({ isLast });
    for (const close of [closeDiscovery, () => path.close({ isLast })]) {
      try {
        await close();
      } catch (error) {
        // Without the lock and the control socket, no other process can start.
        log.error({ err: error }, "cannot release all resources; continuing the shutdown");
      }
    }
    release();
    // Open connections continue, and `#exitWhenIdle` waits for them.
    void listeners.stop();
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
