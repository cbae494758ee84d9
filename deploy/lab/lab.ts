import { mkdir } from "node:fs/promises";
import { hasDocker, otherDockerFolder } from "../setup/other-docker.mjs";
import { cliCommand, serverAddressOn } from "./berth-commands.js";
import { buildImage, LabImages } from "./images.js";
import { LabError } from "./lab-error.js";
import { LabHost } from "./lab-host.js";
import type { LabMachine } from "./lab-machine.js";
import { type LabServer, ServerMachine } from "./lab-server.js";
import {
  type DockerConfig,
  type LabState,
  readLabState,
  readLabStatus,
  STATE_VERSION,
  writeLabState,
} from "./lab-state.js";
import { Lan } from "./lan.js";
import { Machine } from "./machine.js";
import { isLabName, labPaths, RUN_ROOT } from "./paths.js";
import { selfRef } from "./processes.js";
import { type RunOptions, type RunResult, run } from "./run.js";
import {
  claimSubnet,
  DEFAULT_LAB,
  hostAddress,
  MAX_HOSTS,
  rootAddress,
  serverMachineAddress,
} from "./subnet.js";
import { removeAbandonedTestLabs, removeLab } from "./teardown.js";

/** More etcd members make the cluster slower, not safer. */
const MAX_SERVERS = 7;

export interface CreateLabOptions {
  /** 1 to 12 of a-z, 0-9 and hyphens. A lab named `t-…` is removed after this process has ended. */
  readonly name?: string;
  readonly hosts: number;
  /**
   * Number of servers, each with an etcd member. They run on the first hosts; a majority of them must stay up.
   * Undefined for one server on a machine of its own.
   */
  readonly servers?: number;
  /** False for Docker hosts without agents, and an idle server machine. Default: true. */
  readonly berth?: boolean;
  /** Settings added to every host's `daemon.json`. */
  readonly dockerConfig?: DockerConfig;
  /**
   * Docker to use instead of this machine's: a Debian release that setup has fetched, or a folder with
   * `usr/sbin/dockerd` and its dependencies. Default: BERTH_LAB_DOCKER.
   */
  readonly docker?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after each step with a description of it. */
  readonly onProgress?: (step: string) => void;
}

export interface LoadImageOptions {
  /** Default: all hosts of the lab. */
  readonly hosts?: readonly LabHost[];
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (step: string) => void;
}

/** Several Docker hosts and one or more berth servers, all on this machine. */
export class Lab {
  readonly name: string;
  readonly hosts: readonly LabHost[];
  /** The machine without Docker. It runs the server unless hosts do. */
  readonly server: ServerMachine;
  /** All berth servers, on hosts or on the server machine. Empty in a lab without berth. */
  readonly servers: readonly LabServer[];
  /** `ADDRESS:PORT` of each server. */
  readonly serverAddresses: readonly string[];
  readonly hasBerth: boolean;
  readonly #images: LabImages;

  constructor(state: LabState) {
    const { name, subnet, runsBerth, dockerConfig, dockerFolder, serverHostCount } = state;
    const lan = new Lan(name);
    const images = new LabImages(labPaths(name).imagesDir);
    const serverMachine = new Machine({ lab: name, name: "s1", address: serverMachineAddress(subnet), lan });
    this.name = name;
    this.hasBerth = runsBerth;
    const addresses = state.hostNames.map((_, index) => hostAddress(subnet, index));
    const serverCluster = serverHostCount > 0 ? addresses.slice(0, serverHostCount) : undefined;
    this.server = new ServerMachine(serverMachine, { runsServer: runsBerth && serverHostCount === 0 });
    this.serverAddresses = (serverCluster ?? [this.server.address]).map(serverAddressOn);
    const serverAddresses = runsBerth ? this.serverAddresses : [];
    this.#images = images;
    this.hosts = state.hostNames.map((hostName, index) => {
      const machine = new Machine({
        lab: name,
        name: hostName,
        address: addresses[index] ?? "",
        lan,
        overlayFolder: dockerFolder,
      });
      return new LabHost({ lab: name, machine, images, dockerConfig, serverAddresses, serverCluster });
    });
    const onHosts = this.hosts.flatMap(({ server }) => server ?? []);
    this.servers = runsBerth && onHosts.length === 0 ? [this.server.berthServer] : onHosts;
  }

  /** `ADDRESS:PORT` of the first server. */
  get serverAddress(): string {
    return this.serverAddresses[0] ?? "";
  }

  /** Returns the host of the leader. Undefined without a leader, or when the server machine runs it. */
  async leaderHost(): Promise<LabHost | undefined> {
    const leader = await this.leader();
    return this.hosts.find(({ name }) => name === leader?.name);
  }

  /** Returns the server that reports itself as leader. Undefined when none does. */
  async leader(): Promise<LabServer | undefined> {
    const responses = await Promise.all(
      this.servers.map(async (server) => ({ server, health: await server.health() })),
    );
    // A partitioned leader keeps its role until its lease expires, but its status is not "ok" without etcd.
    return responses.find(({ health }) => health?.role === "leader" && health.status === "ok")?.server;
  }

  /**
   * Returns the host with a name.
   *
   * @throws LabError LAB_NOT_FOUND with the names of the existing hosts.
   */
  host(name: string): LabHost {
    const found = this.hosts.find((host) => host.name === name);
    if (found) return found;
    const names = this.hosts.map((host) => host.name).join(", ");
    throw new LabError("LAB_NOT_FOUND", `lab ${this.name} has no host ${name} (hosts: ${names})`);
  }

  getAddress(name: string): string {
    return name === this.server.name ? this.server.address : this.host(name).address;
  }

  /** Runs the `berth` CLI against this lab's servers. */
  berth(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const env = { ...process.env, BERTH_SERVER: this.serverAddresses.join(","), NO_COLOR: "1" };
    return run(cliCommand(args), { env, ...options });
  }

  /**
   * Builds an image from a folder or an archive (see {@link buildImage}) and loads it onto all hosts that are up.
   * Hosts that are down load it when they start.
   */
  async loadImage(source: string, tag: string, options: LoadImageOptions = {}): Promise<void> {
    const { hosts = this.hosts, signal, onProgress } = options;
    const [first, ...others] = hosts.filter((host) => host.isUp);
    if (!first) throw new LabError("LAB_HOST_DOWN", `cannot load ${tag}: no host of lab ${this.name} is up`);
    await buildImage({ source, tag, dockerSocket: first.dockerSocket, signal });
    onProgress?.(`built ${tag} on ${first.name}`);
    await this.#images.store(tag, first.dockerSocket, signal);
    await Promise.all(others.map((host) => this.#images.loadMissing(host.dockerSocket, signal)));
    onProgress?.(`loaded ${tag} onto ${[first, ...others].map((host) => host.name).join(", ")}`);
  }

  /** Stops and removes everything in the lab. */
  down(): Promise<void> {
    return removeLab(this.name);
  }
}

/**
 * Creates a lab. Returns when Docker answers on every host and every server is healthy. Removes the lab again when it
 * fails or is aborted. Removes abandoned test labs first.
 *
 * @throws LabError LAB_EXISTS, LAB_BAD_USAGE, LAB_UNSUPPORTED, LAB_NOT_READY.
 */
export async function createLab(options: CreateLabOptions): Promise<Lab> {
  const { name = DEFAULT_LAB, signal } = options;
  validateOptions(options);
  await removeAbandonedTestLabs();
  await claimName(name);
  try {
    const state = await describeLab(name, options);
    await new Lan(name).create(rootAddress(state.subnet), signal);
    const lab = new Lab(state);
    await startAll(lab, options);
    await writeLabState({ ...state, isComplete: true });
    signal?.throwIfAborted();
    return lab;
  } catch (cause) {
    options.onProgress?.("start failed: removing the lab");
    await removeLab(name);
    throw cause;
  }
}

/**
 * Returns a lab that is running.
 *
 * @throws LabError LAB_NOT_FOUND when the lab is not running.
 */
export async function openLab(name: string = DEFAULT_LAB): Promise<Lab> {
  const isRunning = isLabName(name) && (await readLabStatus(name)) === "running";
  if (!isRunning)
    throw new LabError(
      "LAB_NOT_FOUND",
      `lab ${name} is not running: create it with ${labCommand("up", name)}`,
    );
  const state = await readLabState(name);
  if (state) return new Lab(state);
  throw new LabError(
    "LAB_NOT_FOUND",
    `lab ${name} was created by another version of this program: remove it with ${labCommand("down", name)}`,
  );
}

async function startAll(lab: Lab, { signal, onProgress }: CreateLabOptions): Promise<void> {
  const start = async (machine: LabMachine): Promise<void> => {
    await machine.start(signal);
    onProgress?.(`started ${machine.name} at ${machine.address}`);
  };
  // Wait for all machines even if one fails: the clean-up must not race with a machine that still starts.
  const results = await Promise.allSettled([lab.server, ...lab.hosts].map(start));
  for (const result of results) if (result.status === "rejected") throw result.reason;
  await Promise.all(lab.servers.map((server) => server.waitUntilHealthy(signal)));
  if (lab.servers.length > 1) onProgress?.(`${lab.servers.length} servers are healthy`);
}

async function describeLab(name: string, options: CreateLabOptions): Promise<LabState> {
  const state: LabState = {
    version: STATE_VERSION,
    name,
    subnet: await claimSubnet(name),
    hostNames: Array.from({ length: options.hosts }, (_, index) => `h${index + 1}`),
    runsBerth: options.berth ?? true,
    serverHostCount: options.berth === false ? 0 : (options.servers ?? 0),
    dockerConfig: options.dockerConfig ?? {},
    dockerFolder: findDockerFolder(options),
    creator: selfRef(),
    isComplete: false,
  };
  await writeLabState(state);
  return state;
}

function findDockerFolder({ docker = process.env.BERTH_LAB_DOCKER }: CreateLabOptions): string {
  if (!docker) return "";
  const folder = otherDockerFolder(docker);
  if (hasDocker(folder)) return folder;
  throw new LabError(
    "LAB_UNSUPPORTED",
    `no usr/sbin/dockerd in ${folder}: to fetch the Docker of a Debian release, run BERTH_LAB_DOCKER=${docker} npm run setup`,
  );
}

/** Returns a command line of the lab for an error message. */
function labCommand(command: "up" | "down", name: string): string {
  return `npm run lab -- ${command}${name === DEFAULT_LAB ? "" : ` --name ${name}`}`;
}

/** Claims the name by creating the lab's folder, which only one process can do. */
async function claimName(name: string): Promise<void> {
  const { runDir } = labPaths(name);
  await mkdir(RUN_ROOT, { recursive: true });
  const claim = (): Promise<boolean> =>
    mkdir(runDir).then(
      () => true,
      () => false,
    );
  if (await claim()) return;
  const status = await readLabStatus(name);
  if (status === "running") {
    throw new LabError(
      "LAB_EXISTS",
      `lab ${name} is already running: remove it with ${labCommand("down", name)}`,
    );
  }
  if (status === "changing") {
    throw new LabError("LAB_EXISTS", `another process is creating or removing lab ${name}`);
  }
  await removeLab(name);
  await mkdir(RUN_ROOT, { recursive: true });
  if (!(await claim())) throw new LabError("LAB_EXISTS", `another process is creating lab ${name}`);
}

function validateOptions(options: CreateLabOptions): void {
  const { hosts, servers } = options;
  if (process.platform !== "linux" || process.getuid?.() !== 0) {
    throw new LabError(
      "LAB_UNSUPPORTED",
      "the lab needs Linux and root: it creates network namespaces and mounts",
    );
  }
  if (!Number.isInteger(hosts) || hosts < 1 || hosts > MAX_HOSTS) {
    throw new LabError("LAB_BAD_USAGE", `invalid number of hosts ${hosts}: a lab has 1 to ${MAX_HOSTS}`);
  }
  findDockerFolder(options);
  const maxServers = Math.min(hosts, MAX_SERVERS);
  if (servers !== undefined && !(Number.isInteger(servers) && servers >= 1 && servers <= maxServers)) {
    throw new LabError(
      "LAB_BAD_USAGE",
      `invalid number of servers ${servers}: a lab of ${hosts} hosts has 1 to ${maxServers}`,
    );
  }
}
