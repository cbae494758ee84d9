import type { EndpointBody } from "../../../packages/agent/src/core/docker/create-body.js";
import type {
  ObservedContainer,
  PublishedPort,
} from "../../../packages/agent/src/core/docker/observed-container.js";
import type { ContainerConfig } from "../../../packages/agent/src/core/tasks/container-config.js";
import type { ContainerEvent } from "../../../packages/agent/src/core/tasks/container-event.js";
import type { ContainerOwner } from "../../../packages/agent/src/engine/container-owner.js";
import { EngineError } from "../../../packages/agent/src/engine/engine-error.js";
import { MemoryTaskFiles } from "../../fakes/memory-task-files.js";
import { Actor } from "../simulator/actor.js";
import type { Rng } from "../simulator/rng.js";
import type { Scheduler } from "../simulator/scheduler.js";
import { behaviorOf } from "./images.js";
import { SimContainer } from "./sim-container.js";
import { SimDevices } from "./sim-devices.js";
import { SimNetworks } from "./sim-networks.js";

const KILLED = 137;
const TERMINATED = 143;
const FIRST_EPHEMERAL_PORT = 32_768;
/** Maximum number of events that are kept for clients that ask for earlier ones. */
const MAX_EVENTS = 1_000;

export interface SimDockerOptions {
  readonly host: string;
  readonly scheduler: Scheduler;
  readonly rng: Rng;
  readonly owner: ContainerOwner;
  /** Called when a container has started, ended or been removed. */
  readonly onChange: (container: SimContainer, what: ContainerEvent["kind"]) => void;
}

/** The containers of one host and their daemon. Containers may run while the daemon is down. */
export class SimDocker {
  readonly host: string;
  readonly scheduler: Scheduler;
  readonly rng: Rng;
  readonly containers = new Map<string, SimContainer>();
  readonly images = new Set<string>();
  readonly devices = new SimDevices();
  readonly networks: SimNetworks;
  /** The secrets and configs of the host, which containers mount. */
  readonly taskFiles = new MemoryTaskFiles();
  /** When each named volume was created. */
  readonly volumes = new Map<string, number>();
  /** Probability that a request fails. Half of the failures occur after the work was done. */
  flakiness = 0;
  /** Factor by which every operation is slower. */
  slowness = 1;
  daemon: Actor;
  /** The owner whose containers the host's agent recognizes. */
  owner: ContainerOwner;
  readonly #onChange: SimDockerOptions["onChange"];
  readonly #listeners = new Set<(event: ContainerEvent) => void>();
  readonly #events: { readonly atMs: number; readonly event: ContainerEvent }[] = [];
  #created = 0;
  #nextPort = FIRST_EPHEMERAL_PORT;

  constructor({ host, scheduler, rng, owner, onChange }: SimDockerOptions) {
    this.host = host;
    this.scheduler = scheduler;
    this.rng = rng;
    this.owner = owner;
    this.#onChange = onChange;
    this.networks = new SimNetworks(host, this.devices);
    this.daemon = new Actor(`docker@${host}`, host);
  }

  /** Starts the daemon after `stopDaemon` or a power cut. */
  startDaemon(): void {
    if (this.daemon.isAlive) return;
    this.daemon = new Actor(`docker@${this.host}`, this.host);
    this.networks.makeBridges();
  }

  /** Stops the daemon, and its containers unless it keeps them running. */
  stopDaemon(options: { readonly keepsContainers: boolean }): void {
    this.daemon.kill();
    this.#listeners.clear();
    if (!options.keepsContainers) this.killAll();
  }

  /** Ends every container at once, as a power cut does. */
  killAll(): void {
    for (const container of this.containers.values()) if (container.isRunning) this.#end(container, KILLED);
  }

  /** Removes everything that is on the disk. */
  wipe(): void {
    for (const id of [...this.containers.keys()]) this.remove(id);
    this.images.clear();
    this.volumes.clear();
    this.networks.wipe();
  }

  /** Ends a container's main process. */
  crash(container: SimContainer, exitCode: number): void {
    if (container.isRunning) this.#end(container, exitCode);
  }

  /** Adds a running container that berth did not create. */
  addForeign(name: string, labels: Readonly<Record<string, string>> = {}): void {
    const body = {
      Image: "app:1",
      Labels: labels,
      StopTimeout: 10,
      HostConfig: { RestartPolicy: { Name: "no" }, NetworkMode: "default" },
    } as const;
    const container = new SimContainer(
      `foreign-${name}`,
      { name, body },
      { taskId: this.owner.taskIdOf(labels, name), isForeign: true },
    );
    container.state = "running";
    this.containers.set(container.id, container);
  }

  find(nameOrId: string): SimContainer | undefined {
    const byId = this.containers.get(nameOrId);
    if (byId !== undefined) return byId;
    for (const container of this.containers.values()) if (container.name === nameOrId) return container;
    return undefined;
  }

  create(config: ContainerConfig): string {
    if (!this.images.has(config.body.Image)) {
      throw new EngineError("no-such-image", `No such image: ${config.body.Image}`);
    }
    if (this.find(config.name) !== undefined) {
      throw new EngineError("name-taken", `The container name "/${config.name}" is already in use`);
    }
    this.#requireFiles(config);
    const id = `${this.host}-c${String(++this.#created).padStart(4, "0")}`;
    const taskId = this.owner.taskIdOf(config.body.Labels, config.name);
    this.containers.set(id, new SimContainer(id, config, { taskId, isForeign: false }));
    for (const { Type, Source = "" } of config.body.HostConfig.Mounts ?? []) {
      if (Type === "volume" && Source !== "" && !this.volumes.has(Source)) {
        this.volumes.set(Source, this.scheduler.nowMs);
      }
    }
    return id;
  }

  start(id: string): void {
    const container = this.#get(id);
    if (container.isRunning) return;
    this.#requireFiles(container);
    this.#requireSharedNetwork(container);
    const ports = this.#bindPorts(container);
    this.networks.enter(container);
    container.ports = ports;
    container.state = "running";
    container.run += 1;
    container.startedAtMs = this.scheduler.nowMs;
    this.#happened(container, "started");
    this.#live(container);
  }

  /** Sends SIGTERM, and kills the container after the grace period. */
  async stop(id: string, graceMs: number): Promise<void> {
    const container = this.#get(id);
    if (!container.isRunning) return;
    const { run } = container;
    const { stopMs: obeysMs } = behaviorOf(container.body.Image);
    this.#happened(container, "signaled", "15");
    const endsInMs = obeysMs === undefined ? graceMs : Math.min(this.#between(obeysMs), graceMs);
    this.#later(container, run, endsInMs, () => this.#end(container, obeysMs ? TERMINATED : KILLED));
    await container.ended();
  }

  remove(id: string): void {
    const container = this.containers.get(id);
    if (container === undefined) return;
    if (container.isRunning) this.#end(container, KILLED);
    this.containers.delete(id);
    this.#happened(container, "removed");
  }

  inspect(nameOrId: string): ObservedContainer | undefined {
    const container = this.find(nameOrId);
    return container?.inspect(this.networks.joinedBy(container));
  }

  connect(network: string, containerId: string, endpoint: EndpointBody): void {
    const container = this.#get(containerId);
    if (!this.networks.exists(network)) {
      throw new EngineError("no-such-network", `network ${network} not found`);
    }
    container.endpoints.set(network, endpoint);
  }

  /** Past events since `sinceMs` of the wall clock of the history, then all that come. */
  listen(sinceMs: number, listener: (event: ContainerEvent) => void): void {
    for (const { atMs, event } of this.#events) if (atMs >= sinceMs) listener(event);
    this.#listeners.add(listener);
  }

  /** Rejects a container whose secrets or configs are missing on the host, as Docker does. */
  #requireFiles({ body }: Pick<ContainerConfig, "body">): void {
    const { directory } = this.taskFiles;
    for (const { Source = "" } of body.HostConfig.Mounts ?? []) {
      if (!Source.startsWith(`${directory}/`) || this.taskFiles.find(Source) !== undefined) continue;
      const message = `invalid mount config for type "bind": bind source path does not exist: ${Source}`;
      throw new EngineError("invalid", message);
    }
  }

  /** Rejects a container that shares the network of one that does not run, as Docker does. */
  #requireSharedNetwork({ body }: SimContainer): void {
    const [, id] = /^container:(.+)$/.exec(body.HostConfig.NetworkMode ?? "") ?? [];
    if (id === undefined || this.containers.get(id)?.isRunning === true) return;
    throw new EngineError("failed", `cannot join network of a non running container: ${id}`);
  }

  #get(id: string): SimContainer {
    const container = this.containers.get(id);
    if (container === undefined) throw new EngineError("not-found", `No such container: ${id}`);
    return container;
  }

  /** The behavior that its image defines. */
  #live(container: SimContainer): void {
    const { run, body } = container;
    const { ends, healthyAfterMs: healthyMs } = behaviorOf(body.Image);
    if (ends !== undefined) {
      this.#later(container, run, this.#between(ends.afterMs), () => this.#end(container, ends.exitCode));
    }
    container.health = body.Healthcheck === undefined ? "none" : "starting";
    if (body.Healthcheck === undefined) return;
    const health = healthyMs === undefined ? "unhealthy" : "healthy";
    this.#later(container, run, this.#between(healthyMs ?? [500, 1_000]), () => {
      container.health = health;
      this.#happened(container, "health");
    });
  }

  #later(container: SimContainer, run: number, delayMs: number, act: () => void): void {
    this.scheduler.after(delayMs, undefined, () => {
      if (container.isRunning && container.run === run) act();
    });
  }

  #end(container: SimContainer, exitCode: number): void {
    this.networks.leave(container);
    container.end(exitCode);
    this.#happened(container, "ended");
  }

  #bindPorts({ body }: SimContainer): readonly PublishedPort[] {
    const taken = new Set<number>();
    for (const other of this.containers.values()) for (const { hostPort } of other.ports) taken.add(hostPort);
    return Object.entries(body.HostConfig.PortBindings ?? {}).flatMap(([key, bindings]) => {
      const [target, protocol] = key.split("/");
      return bindings.map(({ HostIp, HostPort }) => {
        const hostPort = HostPort === "" ? ++this.#nextPort : Number(HostPort);
        if (taken.has(hostPort)) {
          throw new EngineError(
            "port-taken",
            `Bind for ${HostIp}:${hostPort} failed: port is already allocated`,
          );
        }
        return { protocol: protocol === "udp" ? 2 : 1, target: Number(target), hostPort, hostIp: HostIp };
      });
    });
  }

  #happened(container: SimContainer, kind: ContainerEvent["kind"], unixSignal = ""): void {
    const event = { kind, containerId: container.id, taskId: container.taskId, unixSignal };
    if (container.taskId !== "" && this.daemon.isAlive) {
      this.#events.push({ atMs: this.scheduler.nowMs, event });
      if (this.#events.length > MAX_EVENTS) this.#events.shift();
      for (const listener of this.#listeners) listener(event);
    }
    this.#onChange(container, kind);
  }

  #between([min, max]: readonly [number, number]): number {
    return (min + this.rng.next() * (max - min)) * this.slowness;
  }
}
