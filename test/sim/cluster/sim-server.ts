import type { Runtime } from "../../../packages/control-plane/src/runtime/runtime.js";
import { startServer } from "../../../packages/control-plane/src/server/server.js";
import { simProbe, simTcpProbe } from "../network/sim-probe.js";
import { Actor } from "../simulator/actor.js";
import { timerMs } from "../simulator/virtual-time.js";
import { simStore } from "../store/sim-store.js";
import type { World } from "./world.js";

const PORT = 7400;
/** 10.64.0.0 */
const POOL_BASE = 0x0a_40_00_00;
const NETWORK_PREFIX = 18;

/** One server of the control plane, which may be started and stopped many times. */
export class SimServer {
  readonly name: string;
  readonly host: string;
  readonly address: string;
  actor: Actor | undefined;
  readonly #world: World;
  #stop = new AbortController();
  #isStopping = false;
  /** A start was requested while the program stops, as by a service manager. */
  #startsAfterStop = false;

  constructor(world: World, { name, host }: { readonly name: string; readonly host: string }) {
    this.#world = world;
    this.name = name;
    this.host = host;
    this.address = `${host}:${PORT}`;
  }

  get isUp(): boolean {
    return this.actor?.isAlive === true;
  }

  start(): void {
    if (this.isUp) this.#startsAfterStop = this.#isStopping;
    if (this.isUp || !this.#world.network.hasPower(this.host)) return;
    this.#isStopping = false;
    this.#startsAfterStop = false;
    const { scheduler, trace } = this.#world;
    const actor = new Actor(this.name, this.host);
    this.actor = actor;
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    trace.add(this.name, "starts");
    scheduler.after(0, actor, () => void this.#main(actor, signal));
  }

  /** SIGTERM. */
  stop(): void {
    const { actor } = this;
    if (!this.isUp || actor === undefined) return;
    this.#isStopping = true;
    this.#world.trace.add(this.name, "receives SIGTERM");
    this.#world.scheduler.after(0, actor, () => this.#stop.abort(new Error("SIGTERM")));
  }

  crash(): void {
    if (!this.isUp) return;
    this.#world.trace.add(this.name, "crashes");
    this.actor?.kill();
  }

  /** Runs the server as `berth server` does. A service manager starts it again when it exits. */
  async #main(actor: Actor, signal: AbortSignal): Promise<void> {
    const world = this.#world;
    const options = {
      store: simStore(world.etcd, actor),
      runtime: this.#runtime(actor),
      logger: world.logger(this.name),
      listen: this.address,
      http: `${this.host}:7401`,
      advertise: undefined,
      autoRebalanceMs: world.history.autoRebalanceMs || undefined,
      networkPool: {
        subnet: { base: POOL_BASE, prefix: world.history.poolPrefix },
        networkPrefix: NETWORK_PREFIX,
      },
      platform: {
        transport: world.transport(actor, { kind: "server", id: this.name }),
        probe: simProbe(world.network, actor),
        probeTcp: simTcpProbe(world.network, actor),
        startHttp: async ({ listen }: { readonly listen: string }) => ({ address: listen, close: () => {} }),
      },
    };
    try {
      const { stopped } = await startServer(options, signal);
      await stopped;
      world.trace.add(this.name, "has stopped");
    } catch (error) {
      world.trace.add(this.name, `ends: ${error instanceof Error ? error.message : String(error)}`);
      if (!signal.aborted) world.scheduler.after(1_000, undefined, () => this.start());
    }
    world.scheduler.after(0, undefined, () => {
      actor.kill();
      if (this.#startsAfterStop && this.actor === actor) this.start();
    });
  }

  #runtime(actor: Actor): Runtime {
    const world = this.#world;
    const { scheduler } = world;
    // A server that restarts continues with other random numbers.
    const rng = world.rng(`${this.name}/runtime/${scheduler.nowMs}`);
    return {
      clock: {
        nowMs: () => scheduler.nowMs,
        after: (delayMs, run) => scheduler.after(timerMs(delayMs), actor, run),
      },
      wallClockMs: () => world.nowOf(this.host),
      random: () => rng.next(),
      newId: () => world.newId(),
    };
  }
}
