import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { agentCommand, isBerthCommand } from "./berth-commands.js";
import { killProcess, pingDocker, startupError } from "./daemons.js";
import type { LabImages } from "./images.js";
import { LabError } from "./lab-error.js";
import { LabMachine } from "./lab-machine.js";
import { LabServer } from "./lab-server.js";
import type { DockerConfig } from "./lab-state.js";
import type { Machine } from "./machine.js";
import { cgroupParent } from "./paths.js";
import { isAlive, type ProcessInfo } from "./processes.js";
import { waitUntil } from "./wait-until.js";

/** Two seconds when alone; a dozen starting at once on two cores take turns. */
const DOCKERD_READY_TIMEOUT_MS = 60_000;
/** Inside a host, Docker is where every program expects it. */
const DOCKER_SOCKET_INSIDE = "/run/docker.sock";

export type HostProcess = "agent" | "dockerd" | "containerd" | "ingress";

export interface LabHostOptions {
  readonly lab: string;
  readonly machine: Machine;
  readonly images: LabImages;
  readonly dockerConfig: DockerConfig;
  /** Where the agent finds the control plane; with none the host runs Docker only. */
  readonly serverAddresses: readonly string[];
  /** Where servers run on hosts: the addresses of those that have one. */
  readonly serverCluster?: readonly string[] | undefined;
}

/** One Docker host: a machine with its dockerd and, in a lab with berth, an agent. */
export class LabHost extends LabMachine {
  /** Docker's socket as the root namespace reaches it: `docker -H unix://…`. */
  readonly dockerSocket: string;
  readonly logs: { readonly dockerd: string; readonly agent: string };
  /** The server that runs on this host beside Docker, in a lab where hosts have them. */
  readonly server: LabServer | undefined;
  /** Further options of its agent, from its next start on. */
  extraAgentArgs: readonly string[] = [];
  readonly #options: LabHostOptions;

  constructor(options: LabHostOptions) {
    super(options.machine);
    const { paths } = options.machine;
    this.dockerSocket = join(paths.runDir, "docker.sock");
    this.logs = { dockerd: join(paths.logDir, "dockerd.log"), agent: join(paths.logDir, "agent.log") };
    this.#options = options;
    const { machine, serverCluster: cluster } = options;
    this.server = cluster?.includes(machine.address) ? new LabServer({ machine, cluster }) : undefined;
  }

  /**
   * Switches the host on and waits for Docker; images that the lab got meanwhile are loaded before the agent starts.
   * Its server is started and not waited for.
   */
  override async start(signal?: AbortSignal): Promise<void> {
    await this.machine.boot(signal);
    await this.server?.startWithoutWaiting();
    await this.startDockerd(signal);
    await this.#options.images.loadMissing(this.dockerSocket, signal);
    if (this.#options.serverAddresses.length > 0) await this.startAgent();
  }

  processes(which: HostProcess): ProcessInfo[] {
    return this.machine.processes().filter(isProcess[which]);
  }

  /** Signals a program of the host; after SIGKILL it returns when the process is gone. */
  killProcess(which: HostProcess, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    return killProcess({ what: `${which} of ${this.name}`, signal, find: () => this.processes(which) });
  }

  async startAgent(): Promise<void> {
    const { serverAddresses } = this.#options;
    if (serverAddresses.length === 0)
      throw new LabError("LAB_BAD_USAGE", "this lab was made without berth: it has no server");
    if (this.processes("agent").length > 0)
      throw new LabError("LAB_HOST_UP", `${this.name} has an agent already`);
    const command = agentCommand({
      address: this.address,
      serverAddresses,
      dataDir: join(this.machine.paths.dataDir, "berth"),
      dockerSocket: DOCKER_SOCKET_INSIDE,
    });
    await this.machine.spawnDaemon([...command, ...this.extraAgentArgs], this.logs.agent);
  }

  /** Starts dockerd and waits until it answers. */
  async startDockerd(signal?: AbortSignal): Promise<void> {
    if (this.processes("dockerd").length > 0)
      throw new LabError("LAB_HOST_UP", `${this.name} has a dockerd already`);
    const configFile = join(this.machine.paths.dataDir, "daemon.json");
    await writeFile(configFile, JSON.stringify(this.#dockerdConfig(), null, 2));
    const dockerd = await this.machine.spawnDaemon(
      ["dockerd", "--config-file", configFile],
      this.logs.dockerd,
    );
    const answersOrDies = async (): Promise<boolean> => {
      if (await pingDocker(this.dockerSocket)) return true;
      if (dockerd && isAlive(dockerd)) return false;
      throw await startupError(`dockerd of ${this.name}`, this.logs.dockerd);
    };
    await waitUntil(answersOrDies, {
      what: `dockerd of ${this.name} (log: ${this.logs.dockerd})`,
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
      // There is no systemd inside, whichever runs this machine.
      "exec-opts": ["native.cgroupdriver=cgroupfs"],
      ...dockerConfig,
    };
  }
}

const isProcess: Record<HostProcess, (info: ProcessInfo) => boolean> = {
  dockerd: ({ command }) => command === "dockerd",
  containerd: ({ command }) => command === "containerd",
  agent: ({ argv }) => isBerthCommand(argv, "agent"),
  // The agent starts it as a program of its own: node …/ingress/….js
  ingress: ({ argv }) => /\/ingress\//.test(argv[1] ?? ""),
};
