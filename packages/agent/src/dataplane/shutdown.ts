import type { Logger } from "pino";
import type { OpenedPath } from "./kernel/open-kernel-path.js";
import type { Gateway } from "./listeners/gateway.js";
import type { ServiceDiscovery } from "./vips/service-discovery.js";

/** How long a retired process may wait for its connections to end. */
const MAX_RETIREMENT_MS = 60 * 60 * 1_000;
const CHECK_MS = 250;

/** last: nobody takes over. followed: somebody will, with sockets of his own. inherited: somebody has our sockets. */
export type SuccessorKind = "last" | "followed" | "inherited";

export interface RetirementOptions {
  readonly log: Logger;
  readonly gateway: Gateway;
  readonly names: ServiceDiscovery;
  readonly path: OpenedPath;
  /** Gives up what only one process of a data directory can have. */
  readonly release: () => void;
}

/** The end of an ingress process: it takes nothing new any more, and leaves when the last connection has ended. */
export class GracefulShutdown {
  readonly #options: RetirementOptions;
  #ending: Promise<void> | undefined;

  constructor(options: RetirementOptions) {
    this.#options = options;
  }

  get hasBegun(): boolean {
    return this.#ending !== undefined;
  }

  /** Resolves when all is free that a successor needs. What was first said of it counts. */
  begin(reason: string, fate: SuccessorKind): Promise<void> {
    this.#ending ??= this.#end(reason, fate);
    return this.#ending;
  }

  async #end(reason: string, fate: SuccessorKind): Promise<void> {
    const { log, gateway, names, path, release } = this.#options;
    const { active: connections } = gateway;
    log.info({ reason, connections }, "retired: no new connections, leaving when the last one ends");
    const isLast = fate === "last";
    // Its addresses are for the successor to answer at.
    if (fate === "inherited") await names.leave();
    else await names.close({ isLast });
    await path.close({ isLast });
    release();
    void gateway.apply({ version: gateway.version, listeners: [] });
    this.#leaveWhenIdle();
  }

  #leaveWhenIdle(): void {
    const { gateway, names } = this.#options;
    const startedMs = performance.now();
    setInterval(() => {
      const isOverdue = performance.now() - startedMs > MAX_RETIREMENT_MS;
      const isIdle = gateway.active === 0 && !names.isDraining;
      if (isIdle || isOverdue) process.exit(0);
    }, CHECK_MS);
  }
}
