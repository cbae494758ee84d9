import { runAgent } from "../../../packages/agent/src/agent/agent.js";
import type { AgentPlatform } from "../../../packages/agent/src/agent/platform.js";
import { OWNER_LABEL, TASK_LABEL } from "../../../packages/agent/src/core/docker/labels.js";
import type { LinkStep } from "../../../packages/agent/src/core/networks/network-step.js";
import { type DnsTable, EMPTY_DNS_TABLE } from "../../../packages/agent/src/dataplane/dns/dns-table.js";
import { parseDnsConfig } from "../../../packages/agent/src/dataplane/messages/dns-messages.js";
import { parseListeners } from "../../../packages/agent/src/dataplane/messages/listener-messages.js";
import type {
  IngressTable,
  ListenerStats,
} from "../../../packages/agent/src/dataplane/table/ingress-table.js";
import { type ContainerOwner, containerOwner } from "../../../packages/agent/src/engine/container-owner.js";
import type { TaskFiles } from "../../../packages/agent/src/files/task-files.js";
import type { KernelSupport } from "../../../packages/agent/src/networks/host-networking.js";
import { SimDocker } from "../docker/sim-docker.js";
import { simEngine } from "../docker/sim-engine.js";
import { nodeIdOf } from "../history/history.js";
import { simProbe } from "../network/sim-probe.js";
import { Actor } from "../simulator/actor.js";
import { MACHINE_CPUS, MACHINE_MEMORY_BYTES } from "../simulator/virtual-time.js";
import { SimIngress } from "./sim-ingress.js";
import type { World } from "./world.js";

/** Time from power-on until programs start. */
const BOOT_MS = 1_500;
const DAEMON_START_MS = 500;
const DISK_MS = 2;

/** Completes an operation later. */
type Soon = <T>(act: () => T | Promise<T>, delayMs?: number) => Promise<T>;
/** Maximum time to apply a DNS configuration, which may rewrite the rules of all virtual IPs. */
const NAMES_MS = 40;

/** One Docker host with its agent. Holds the state that outlives the agent's process. */
export class SimHost {
  readonly name: string;
  /** The node IDs that the host has had. A new disk gets a new ID; the last one is current. */
  readonly #nodeIds: string[] = [];
  readonly address: string;
  readonly memoryBytes = MACHINE_MEMORY_BYTES;
  readonly docker: SimDocker;
  readonly files = new Map<string, string>();
  /** The table of published ports that the ingress process serves. */
  table: IngressTable | undefined;
  /** The table that the DNS server answers from. */
  names: DnsTable = EMPTY_DNS_TABLE;
  agent: Actor | undefined;
  /** The ingress process. Undefined until the first table, and while the host has no power. */
  ingress: SimIngress | undefined;
  readonly #world: World;
  readonly #servers: readonly string[];
  readonly #hosts: readonly SimHost[];
  readonly #number: number;
  #stop = new AbortController();
  #isStopping = false;
  /** A start was requested while the program stops, as by a service manager. */
  #startsAfterStop = false;

  constructor(
    world: World,
    options: {
      readonly name: string;
      readonly number: number;
      readonly servers: readonly string[];
      /** All hosts of the cluster. */
      readonly hosts: readonly SimHost[];
    },
  ) {
    this.#world = world;
    this.#hosts = options.hosts;
    this.name = options.name;
    this.#number = options.number;
    this.address = `10.0.0.${options.number}`;
    this.#servers = options.servers;
    world.network.addresses.set(this.address, this.name);
    this.docker = new SimDocker({
      host: this.name,
      owner: this.#createNodeId(),
      scheduler: world.scheduler,
      rng: world.rng(`docker/${this.name}`),
      onChange: (container, what) => {
        world.trace.add(this.name, `container ${container.name} ${what}`);
        for (const observer of world.observers) observer.onContainer?.(this.name, container, what);
      },
    });
    this.docker.addForeign("postgres");
    this.docker.addForeign("look-alike", { [TASK_LABEL]: "made-up", [OWNER_LABEL]: "0".repeat(32) });
  }

  get nodeId(): string {
    return this.#nodeIds.at(-1) ?? "";
  }

  /** Number of reinstallations. With each one, the host becomes a new node. */
  get reinstallations(): number {
    return this.#nodeIds.length - 1;
  }

  get isUp(): boolean {
    return this.agent?.isAlive === true;
  }

  get hasPower(): boolean {
    return this.#world.network.hasPower(this.name);
  }

  startAgent(): void {
    if (this.isUp) this.#startsAfterStop = this.#isStopping;
    if (this.isUp || !this.hasPower) return;
    this.#isStopping = false;
    this.#startsAfterStop = false;
    const actor = new Actor(`agent@${this.name}`, this.name);
    this.agent = actor;
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    this.#world.trace.add(actor.name, "starts");
    this.#world.scheduler.after(0, actor, () => void this.#main(actor, signal));
  }

  stopAgent(): void {
    const { agent } = this;
    if (!this.isUp || agent === undefined) return;
    this.#isStopping = true;
    this.#world.scheduler.after(0, agent, () => this.#stop.abort(new Error("SIGTERM")));
  }

  crashAgent(): void {
    if (!this.isUp) return;
    this.#world.trace.add(`agent@${this.name}`, "crashes");
    this.agent?.kill();
  }

  cutPower(): void {
    if (!this.hasPower) return;
    this.#world.trace.add(this.name, "loses power");
    this.#world.network.powerOff(this.name);
    this.crashAgent();
    this.docker.stopDaemon({ keepsContainers: false });
    this.docker.devices.clear();
    this.docker.taskFiles.clear();
    this.table = undefined;
    this.names = EMPTY_DNS_TABLE;
    this.ingress?.kill();
    this.ingress = undefined;
    this.#tablesChanged();
  }

  /** Empties the disk. Called while the host has no power. */
  wipe(): void {
    if (this.hasPower) return;
    this.#world.trace.add(this.name, "has an empty disk");
    this.files.clear();
    this.docker.wipe();
    this.docker.owner = this.#createNodeId();
  }

  /** Creates a node ID and the owner of its containers, as `berth agent join` and the first start of an agent do. */
  #createNodeId(): ContainerOwner {
    const nodeId = nodeIdOf(this.name, this.#nodeIds.length);
    this.#nodeIds.push(nodeId);
    return containerOwner(nodeId);
  }

  restorePower(): void {
    if (this.hasPower) return;
    const { network, scheduler, trace } = this.#world;
    trace.add(this.name, "has power again");
    network.powerOn(this.name);
    scheduler.after(BOOT_MS, undefined, () => {
      if (!this.hasPower) return;
      this.docker.startDaemon();
      this.startAgent();
    });
  }

  /** Stops the daemon and its containers, and starts the daemon again later. */
  restartDocker(forMs: number): void {
    if (!this.hasPower || !this.docker.daemon.isAlive) return;
    this.#world.trace.add(this.name, "Docker stops");
    this.docker.stopDaemon({ keepsContainers: false });
    this.#world.scheduler.after(forMs + DAEMON_START_MS, undefined, () => {
      if (this.hasPower) this.docker.startDaemon();
    });
  }

  async #main(actor: Actor, signal: AbortSignal): Promise<void> {
    const world = this.#world;
    const log = world.logger(actor.name);
    try {
      const config = { servers: this.#servers, advertiseAddress: this.address };
      await runAgent({ config, platform: this.#edges(actor), log }, signal);
      world.trace.add(actor.name, "has stopped");
    } catch (error) {
      world.bug(actor.name, `ended: ${error instanceof Error ? error.stack : String(error)}`);
    }
    world.scheduler.after(0, undefined, () => {
      actor.kill();
      if (this.#startsAfterStop && this.agent === actor) this.startAgent();
    });
  }

  #tablesChanged(): void {
    for (const observer of this.#world.observers) observer.onTablesChanged?.(this.name);
  }

  /** The kernel features of the host, which do not change. */
  #kernel(): KernelSupport {
    const isPlain = this.#world.history.hostsWithoutOverlay.includes(this.#number - 1);
    return { overlayProblem: isPlain ? "the kernel has no vxlan" : "", encryptionProblem: "not simulated" };
  }

  /** Runs one step of `ip`, which may fail before or after its work is done. */
  #change(step: LinkStep): void {
    const { docker } = this;
    const roll = docker.rng.next();
    if (roll < docker.flakiness / 2) throw new Error("RTNETLINK answers: Device or resource busy");
    this.#world.trace.add(this.name, `${step.kind} ${JSON.stringify(step)}`);
    docker.devices.run(step);
    if (roll < docker.flakiness) throw new Error("killed");
  }

  /** The secrets and configs of this host, through which an agent changes them with a delay. */
  #taskFiles(soon: Soon): TaskFiles {
    const { taskFiles } = this.docker;
    const { directory, swapProblem } = taskFiles;
    return {
      directory,
      swapProblem,
      list: () => soon(() => taskFiles.list()),
      write: (files, signal) => soon(() => taskFiles.write(files, signal)),
      remove: (taskId) => soon(() => taskFiles.remove(taskId)),
    };
  }

  #startIngress(): SimIngress {
    const world = this.#world;
    return new SimIngress({
      host: this.name,
      scheduler: world.scheduler,
      answerOf: (taskId) => this.#answerOf(taskId),
      onOutcome: (connection, outcome) => {
        world.trace.add(this.name, `connection ${connection.number} to ${connection.service}: ${outcome}`);
        for (const observer of world.observers) observer.onConnectionOutcome?.(connection, outcome);
      },
    });
  }

  /** Returns whether a connection from this host to the task is accepted. */
  accepts(taskId: string): boolean {
    return this.#answerOf(taskId) === "accepted";
  }

  /** Returns how the host of a task answers a SYN of this host. */
  #answerOf(taskId: string): "accepted" | "refused" | "silent" {
    const { network } = this.#world;
    for (const { name, docker } of this.#hosts) {
      const container = [...docker.containers.values()].find((each) => each.taskId === taskId);
      if (container === undefined) continue;
      if (!network.reaches(this.name, name) || !network.reaches(name, this.name)) return "silent";
      return container.isRunning ? "accepted" : "refused";
    }
    return "refused";
  }

  /** Clients use all hosts evenly, and each host balances its share over the endpoints in its table. */
  #listeners(): readonly ListenerStats[] {
    const { history, loads } = this.#world;
    return (this.table?.listeners ?? []).map(({ protocol, address, port, service, endpoints }) => {
      const active = shareOf(loads.get(service) ?? 0, this.#number - 1, history.hosts);
      const stats = endpoints.map((endpoint, index) => {
        const own = shareOf(active, index, endpoints.length);
        return { ...endpoint, state: "serving" as const, total: 0, active: own, failed: 0 };
      });
      const counts = {
        total: 0,
        active,
        failed: 0,
        retried: 0,
        held: 0,
        heldTotal: 0,
        heldRefused: 0,
        ejections: 0,
        nodes: [],
      };
      return { protocol, address, port, service, stack: "", ...counts, endpoints: stats };
    });
  }

  #edges(actor: Actor): AgentPlatform {
    const world = this.#world;
    const { scheduler } = world;
    /** Completes an operation later. If the program is killed before, the operation has no effect. */
    const soon: Soon = (act, delayMs = DISK_MS) => {
      return new Promise((resolve, reject) => {
        scheduler.after(delayMs, actor, () => {
          try {
            resolve(act());
          } catch (error) {
            reject(error);
          }
        });
      });
    };
    const { devices } = this.docker;
    const ingressRng = world.rng(`${actor.name}/ingress/${scheduler.nowMs}`);
    return {
      nodeId: this.nodeId,
      hostname: this.name,
      host: { generic: {}, pidLimit: async () => 0, listeners: async () => [] },
      engine: simEngine({
        docker: this.docker,
        agent: actor,
        info: { cpus: MACHINE_CPUS, memoryBytes: MACHINE_MEMORY_BYTES },
        onNetwork: (kind, network) => world.trace.add(this.name, `docker network ${kind} ${network}`),
        onOrder: (kind, containerId) => {
          world.trace.add(this.name, `docker ${kind} ${containerId}`);
          for (const observer of world.observers) observer.onEngineCall?.(this.name, kind, containerId);
        },
      }),
      networking: {
        wireguardPublicKey: "",
        devices: {
          observe: () => soon(() => devices.observe()),
          observePorts: () => soon(() => [...devices.observe().links.values()]),
          execute: async (steps) => {
            for (const step of steps) await soon(() => this.#change(step));
          },
        },
        detectKernelSupport: () => soon(() => this.#kernel()),
      },
      transport: world.transport(actor, { kind: "node", id: this.nodeId }),
      readUsage: async () => undefined,
      readHostUsage: async () => ({
        monotonicMs: scheduler.nowMs,
        cpus: MACHINE_CPUS,
        cpuNs: 0,
        memoryBytes: 0,
        memoryTotalBytes: MACHINE_MEMORY_BYTES,
        receivedBytes: 0,
        sentBytes: 0,
      }),
      checkPort: async () => "accepted",
      probe: simProbe(world.network, actor),
      peerProbe: simProbe(world.network, actor),
      stateDirectory: {
        writeShared: async () => "/var/lib/berth/agent/shared/text",
        pathOf: (name) => `/var/lib/berth/agent/${name}`,
        read: async (name) => this.files.get(name),
        write: (name, text) => soon(() => void this.files.set(name, text)),
        quarantine: (name) => soon(() => void this.files.delete(name)).then(() => `${name}.damaged`),
      },
      taskFiles: this.#taskFiles(soon),
      openIngress: async () => ({
        isServing: this.table !== undefined,
        setFallback: () => {},
        watchWaitingClients: () => {},
        apply: async (table) => {
          await soon(() => {
            this.table = { version: table.version, listeners: parseListeners(table.listeners).listeners };
            this.ingress ??= this.#startIngress();
            this.ingress.apply(this.table);
            this.#tablesChanged();
          });
          return { version: table.version, errors: [] };
        },
        setSuspectNodes: async (nodeIds) => this.ingress?.setSuspectNodes(nodeIds),
        stats: async () => ({
          ...IDLE_INGRESS,
          version: this.table?.version ?? 0,
          listeners: [...this.#listeners()],
          vips: [],
        }),
        updateDns: (names) => {
          return soon(() => {
            this.names = parseDnsConfig(names);
            this.#tablesChanged();
          }, ingressRng.next() * NAMES_MS);
        },
        status: async () => IDLE_INGRESS,
        close: () => {},
      }),
      release: () => {},
    };
  }
}

/** Returns an even share, in whole connections. */
function shareOf(connections: number, index: number, count: number): number {
  return Math.floor(connections / count) + (index < connections % count ? 1 : 0);
}

const IDLE_INGRESS = {
  processId: 1,
  uptimeMs: 0,
  residentBytes: 0,
  acceptErrors: 0,
  errors: [],
  listeners: [],
  dnsProblems: [],
  path: { kernel: false, reason: "simulated" },
};
