import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { agentCommand, isBerthCommand, joinCommand } from "./berth-commands.js";
import { joinOnce } from "./cluster-access.js";
import { killProcess, pingDocker, readStartupError } from "./daemons.js";
import type { LabImages } from "./images.js";
import { LabError } from "./lab-error.js";
import { DockerHost } from "./lab-machine.js";
import type { JoinAgent } from "./lab-options.js";
import type { LabServer } from "./lab-server.js";
import type { DockerConfig } from "./lab-state.js";
import type { NamespaceMachine } from "./namespace-machine.js";
import { cgroupParent } from "./paths.js";
import { isAlive, type ProcessInfo } from "./processes.js";
import { waitUntil } from "./wait-until.js";

/**
 * Timeout until dockerd responds. It starts within 2 s on an idle machine. A dozen daemons that start at once on two
 * cores need much longer.
 */
const DOCKERD_READY_TIMEOUT_MS = 60_000;
/** Docker's default socket path, valid inside the host. */
const DOCKER_SOCKET_INSIDE = "/run/docker.sock";

/** Matches the entry script of the ingress process, in a checkout or a bundle. */
const INGRESS_ENTRY = /\/(dataplane|bin)\/entry\.js$/;

export type HostProcess = "agent" | "dockerd" | "containerd" | "ingress";

export interface LabHostOptions {
  readonly lab: string;
  readonly machine: NamespaceMachine;
  readonly images: LabImages;
  readonly dockerConfig: DockerConfig;
  /** All servers of the lab. Empty if the host runs only Docker. */
  readonly servers: readonly LabServer[];
  readonly berthPath: string;
  readonly joinAgent: JoinAgent | undefined;
}

/** A machine with dockerd and, in a lab with berth, an agent. */
export class LabHost extends DockerHost<NamespaceMachine> {
  readonly dockerSocket: string;
  readonly logs: { readonly dockerd: string; readonly agent: string };
  /** Data directory of the agent. */
  readonly agentDataDir: string;
  /** The server on this host, if it runs one. */
  readonly server: LabServer | undefined;
  /** Additional agent arguments. They take effect when the agent next starts. */
  extraAgentArgs: readonly string[] = [];
  /** Path of the agent's `berth` program. Takes effect when the agent next starts. */
  berthPath: string;
  readonly #options: LabHostOptions;

  constructor(options: LabHostOptions) {
    super(options.machine);
    const { paths } = options.machine;
    this.dockerSocket = join(paths.runDir, "docker.sock");
    this.logs = { dockerd: join(paths.logDir, "dockerd.log"), agent: join(paths.logDir, "agent.log") };
    this.agentDataDir = join(paths.dataDir, "berth");
    this.berthPath = options.berthPath;
    this.#options = options;
    this.server = options.servers.find(({ name }) => name === this.name);
  }

  /**
   * Powers the host on and waits for Docker. Loads missing images before the agent starts. Starts the host's server
   * without waiting, because it becomes healthy only once a quorum of servers is up.
   */
  override async start(signal?: AbortSignal): Promise<void> {
    await this.machine.boot(signal);
    await this.server?.join(signal);
    await this.server?.startWithoutWaiting();
    await this.startDockerd(signal);
    await this.#options.images.loadMissing(this.dockerSocket, signal);
    if (this.#options.servers.length > 0) await this.startAgent(signal);
  }

  get agentLogHint(): string {
    return this.logs.agent;
  }

  override async describeDaemons(): Promise<readonly string[]> {
    const daemons = [...((await this.server?.describeDaemons()) ?? [])];
    if (await pingDocker(this.dockerSocket)) {
      daemons.push("docker");
    } else if (this.processes("dockerd").length > 0) {
      daemons.push("docker (not responding)");
    }
    if (this.processes("agent").length > 0) daemons.push("agent");
    return daemons;
  }

  processes(program: HostProcess): ProcessInfo[] {
    return this.machine.processes().filter(PROCESS_FILTERS[program]);
  }

  /** Signals a daemon on the host. After SIGKILL, waits until the process is gone. */
  killProcess(program: HostProcess, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    return killProcess({ name: `${program} on ${this.name}`, signal, find: () => this.processes(program) });
  }

  /** Joins the cluster if necessary, then starts the agent. */
  async startAgent(signal?: AbortSignal): Promise<void> {
    const { machine, berthPath, agentDataDir: dataDir } = this;
    const server = await this.#findServer();
    if (server === undefined) {
      throw new LabError("LAB_BAD_USAGE", "cannot start an agent: this lab was created without berth");
    }
    if (this.processes("agent").length > 0) {
      throw new LabError("LAB_HOST_UP", `the agent on ${this.name} is already running`);
    }
    const { joinAgent } = this.#options;
    const joinArgs = joinCommand("agent", { berthPath, address: server.address, dataDir });
    await joinOnce({ machine, program: "agent", joinAgent, dataDir, server, command: joinArgs }, signal);
    const { address } = this;
    const command = agentCommand({ berthPath, address, dataDir, dockerSocket: DOCKER_SOCKET_INSIDE });
    await machine.spawnDaemon([...command, ...this.extraAgentArgs], this.logs.agent);
  }

  /** Returns a healthy server, or the first one if none is healthy. Undefined in a lab without berth. */
  async #findServer(): Promise<LabServer | undefined> {
    const { servers } = this.#options;
    for (const server of servers) {
      if (await server.isHealthy()) return server;
    }
    return servers[0];
  }

  /** Starts dockerd and waits until it responds. */
  async startDockerd(signal?: AbortSignal): Promise<void> {
    if (this.processes("dockerd").length > 0) {
      throw new LabError("LAB_HOST_UP", `dockerd on ${this.name} is already running`);
    }
    const configFile = join(this.machine.paths.dataDir, "daemon.json");
    await writeFile(configFile, JSON.stringify(this.#dockerdConfig(), null, 2));
    const dockerd = await this.machine.spawnDaemon(
      ["dockerd", "--config-file", configFile],
      this.logs.dockerd,
    );
    const isReady = async (): Promise<boolean> => {
      if (await pingDocker(this.dockerSocket)) return true;
      if (dockerd && isAlive(dockerd)) return false;
      throw await readStartupError(`dockerd on ${this.name}`, this.logs.dockerd);
    };
    await waitUntil(isReady, {
      what: `dockerd on ${this.name} to respond (log: ${this.logs.dockerd})`,
      timeoutMs: DOCKERD_READY_TIMEOUT_MS,
      signal,
    });
  }

  #dockerdConfig(): DockerConfig {
    const { lab, machine, dockerConfig } = this.#options;
    return {
      hosts: [`unix://${DOCKER_SOCKET_INSIDE}`],
      "data-root": join(machine.paths.dataDir, "docker"),
      "exec-root": "/run/docker",
      pidfile: "/run/docker.pid",
      "cgroup-parent": cgroupParent(lab, this.name),
      // A host has no systemd, even if this machine does.
      "exec-opts": ["native.cgroupdriver=cgroupfs"],
      ...dockerConfig,
    };
  }
}

const PROCESS_FILTERS: Record<HostProcess, (info: ProcessInfo) => boolean> = {
  dockerd: ({ command }) => command === "dockerd",
  containerd: ({ command }) => command === "containerd",
  agent: ({ argv }) => isBerthCommand(argv, "agent"),
  // The agent starts the ingress process as `node …/entry.js`.
  ingress: ({ argv }) => INGRESS_ENTRY.test(argv[1] ?? ""),
};
