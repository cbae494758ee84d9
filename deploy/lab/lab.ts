import { mkdir } from "node:fs/promises";
import { hasDocker, otherDockerFolder } from "../setup/other-docker.mjs";
import { cliCommand, serverAddressOn } from "./berth-commands.js";
import { buildImage, LabImages } from "./images.js";
import { LabError } from "./lab-error.js";
import { LabHost } from "./lab-host.js";
import type { LabMachine } from "./lab-machine.js";
import type { LabServer } from "./lab-server.js";
import { ServerMachine } from "./lab-server.js";
import {
  type DockerConfig,
  type LabState,
  labStatus,
  readLabState,
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

/** More members than this make etcd's cluster slower and no safer. */
const MAX_SERVERS = 7;

export interface CreateLabOptions {
  /** 1 to 12 of a-z, 0-9 and hyphens. Names that start with `t-` are tests': they end with their process. */
  readonly name?: string;
  readonly hosts: number;
  /**
   * A server, with a member of the etcd cluster, on each of so many of the first hosts: any of them may be lost while
   * most stay. Absent: one server on a machine of its own.
   */
  readonly servers?: number;
  /** false: Docker hosts alone, and a server machine on which nothing runs. */
  readonly berth?: boolean;
  /** Keys for every host's `daemon.json`. */
  readonly dockerConfig?: DockerConfig;
  /**
   * Another Docker than this machine's: a Debian release whose Docker setup has fetched, or a folder with
   * `usr/sbin/dockerd` and all that it needs. Default: BERTH_LAB_DOCKER.
   */
  readonly docker?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with each step done, for people who wait. */
  readonly onProgress?: (step: string) => void;
}

export interface LoadImageOptions {
  /** All of the lab unless given. */
  readonly hosts?: readonly LabHost[];
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (step: string) => void;
}

/** Several Docker hosts and a server on one machine. */
export class Lab {
  readonly name: string;
  readonly hosts: readonly LabHost[];
  /** A machine without Docker, with the server unless the hosts have it. */
  readonly server: ServerMachine;
  /** Everything that is `berth server`; none in a lab without berth. */
  readonly servers: readonly LabServer[];
  /** `ADDRESS:PORT` of each. */
  readonly serverAddresses: readonly string[];
  readonly hasBerth: boolean;
  readonly #images: LabImages;

  constructor(state: LabState) {
    const { name, subnet, berth, dockerConfig, dockerFolder, hostsWithServer } = state;
    const lan = new Lan(name);
    const images = new LabImages(labPaths(name).imagesDir);
    const serverMachine = new Machine({ lab: name, name: "s1", address: serverMachineAddress(subnet), lan });
    this.name = name;
    this.hasBerth = berth;
    const addresses = state.hostNames.map((_, index) => hostAddress(subnet, index));
    const serverCluster = hostsWithServer > 0 ? addresses.slice(0, hostsWithServer) : undefined;
    this.server = new ServerMachine(serverMachine, { runsServer: berth && hostsWithServer === 0 });
    this.serverAddresses = (serverCluster ?? [this.server.address]).map(serverAddressOn);
    const serverAddresses = berth ? this.serverAddresses : [];
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
    this.servers = berth && onHosts.length === 0 ? [this.server.berthServer] : onHosts;
  }

  /** `ADDRESS:PORT` of the first server. */
  get serverAddress(): string {
    return this.serverAddresses[0] ?? "";
  }

  /** The host whose server leads; undefined while none does, or when the leader is on a machine of its own. */
  async leaderHost(): Promise<LabHost | undefined> {
    const leader = await this.leader();
    return this.hosts.find(({ name }) => name === leader?.name);
  }

  /** The server that leads, by its own word; undefined while none does. */
  async leader(): Promise<LabServer | undefined> {
    const answers = await Promise.all(
      this.servers.map(async (server) => ({ server, health: await server.health() })),
    );
    // One that was cut off believes in itself for a while, but knows that etcd does not answer.
    return answers.find(({ health }) => health?.role === "leader" && health.status === "ok")?.server;
  }

  /** @throws LabError LAB_NOT_FOUND with the names that exist. */
  host(name: string): LabHost {
    const found = this.hosts.find((host) => host.name === name);
    if (found) return found;
    const names = this.hosts.map((host) => host.name).join(", ");
    throw new LabError("LAB_NOT_FOUND", `lab ${this.name} has no host ${name}; it has ${names}`);
  }

  addressOf(name: string): string {
    return name === this.server.name ? this.server.address : this.host(name).address;
  }

  /** Runs the `berth` command line against this lab's servers. */
  berth(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const env = { ...process.env, BERTH_SERVER: this.serverAddresses.join(","), NO_COLOR: "1" };
    return run(cliCommand(args), { env, ...options });
  }

  /**
   * Makes an image from a folder or an archive (see {@link buildImage}) and loads it onto the hosts that are up;
   * the others get it when they start.
   */
  async loadImage(source: string, tag: string, options: LoadImageOptions = {}): Promise<void> {
    const { hosts = this.hosts, signal, onProgress } = options;
    const [first, ...others] = hosts.filter((host) => host.isUp);
    if (!first) throw new LabError("LAB_HOST_DOWN", `no host of lab ${this.name} is up to load ${tag} onto`);
    await buildImage({ source, tag, dockerSocket: first.dockerSocket, signal });
    onProgress?.(`${tag} is built on ${first.name}`);
    await this.#images.store(tag, first.dockerSocket, signal);
    await Promise.all(others.map((host) => this.#images.loadMissing(host.dockerSocket, signal)));
    onProgress?.(`${tag} is on ${[first, ...others].map((host) => host.name).join(", ")}`);
  }

  /** Removes the lab and everything in it. */
  down(): Promise<void> {
    return removeLab(this.name);
  }
}

/**
 * Brings a lab up: returns when Docker answers on every host and, with berth, the server is healthy.
 * Leaves nothing behind when it fails or is aborted. Removes dead test labs first.
 *
 * @throws LabError LAB_EXISTS, LAB_BAD_USAGE, LAB_UNSUPPORTED, LAB_NOT_READY.
 */
export async function createLab(options: CreateLabOptions): Promise<Lab> {
  const { name = DEFAULT_LAB, signal } = options;
  checkOptions(options);
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
    options.onProgress?.("did not come up: removing what was made");
    await removeLab(name);
    throw cause;
  }
}

/**
 * Handles a lab that was left running.
 *
 * @throws LabError LAB_NOT_FOUND when there is none, or only its remains.
 */
export async function openLab(name: string = DEFAULT_LAB): Promise<Lab> {
  const isRunning = isLabName(name) && (await labStatus(name)) === "running";
  if (!isRunning) throw new LabError("LAB_NOT_FOUND", `no lab ${name} is running; bring it up first`);
  const state = await readLabState(name);
  if (state) return new Lab(state);
  throw new LabError(
    "LAB_NOT_FOUND",
    `lab ${name} was made by another version of this program; take it down`,
  );
}

async function startAll(lab: Lab, { signal, onProgress }: CreateLabOptions): Promise<void> {
  const start = async (machine: LabMachine): Promise<void> => {
    await machine.start(signal);
    onProgress?.(`${machine.name} is up at ${machine.address}`);
  };
  // All must have settled before a failure is cleaned up after: none may go on starting things.
  const results = await Promise.allSettled([lab.server, ...lab.hosts].map(start));
  for (const result of results) if (result.status === "rejected") throw result.reason;
  await Promise.all(lab.servers.map((server) => server.waitUntilHealthy(signal)));
  if (lab.servers.length > 1) onProgress?.(`${lab.servers.length} servers work together`);
}

async function describeLab(name: string, options: CreateLabOptions): Promise<LabState> {
  const state: LabState = {
    version: STATE_VERSION,
    name,
    subnet: await claimSubnet(name),
    hostNames: Array.from({ length: options.hosts }, (_, index) => `h${index + 1}`),
    berth: options.berth ?? true,
    hostsWithServer: options.berth === false ? 0 : (options.servers ?? 0),
    dockerConfig: options.dockerConfig ?? {},
    dockerFolder: dockerFolderOf(options),
    creator: selfRef(),
    isComplete: false,
  };
  await writeLabState(state);
  return state;
}

function dockerFolderOf({ docker = process.env.BERTH_LAB_DOCKER }: CreateLabOptions): string {
  if (!docker) return "";
  const folder = otherDockerFolder(docker);
  if (hasDocker(folder)) return folder;
  throw new LabError(
    "LAB_UNSUPPORTED",
    `another Docker: no usr/sbin/dockerd in ${folder}; BERTH_LAB_DOCKER=${docker} npm run setup fetches that of a Debian release`,
  );
}

/** Making the folder is the claim: of two that try, one gets it. */
async function claimName(name: string): Promise<void> {
  const { runDir } = labPaths(name);
  await mkdir(RUN_ROOT, { recursive: true });
  const claim = (): Promise<boolean> =>
    mkdir(runDir).then(
      () => true,
      () => false,
    );
  if (await claim()) return;
  const phase = await labStatus(name);
  if (phase === "running") throw new LabError("LAB_EXISTS", `lab ${name} is up already; take it down first`);
  if (phase === "in the making")
    throw new LabError("LAB_EXISTS", `lab ${name} is being made or removed right now`);
  await removeLab(name);
  await mkdir(RUN_ROOT, { recursive: true });
  if (!(await claim())) throw new LabError("LAB_EXISTS", `lab ${name} is being made by somebody else`);
}

function checkOptions(options: CreateLabOptions): void {
  const { hosts, servers } = options;
  if (process.platform !== "linux" || process.getuid?.() !== 0) {
    throw new LabError(
      "LAB_UNSUPPORTED",
      "the lab needs Linux and root: it makes network namespaces and mounts",
    );
  }
  if (!Number.isInteger(hosts) || hosts < 1 || hosts > MAX_HOSTS) {
    throw new LabError("LAB_BAD_USAGE", `a lab has 1 to ${MAX_HOSTS} hosts, not ${hosts}`);
  }
  dockerFolderOf(options);
  const maxServers = Math.min(hosts, MAX_SERVERS);
  if (servers !== undefined && !(Number.isInteger(servers) && servers >= 1 && servers <= maxServers)) {
    throw new LabError(
      "LAB_BAD_USAGE",
      `a lab of ${hosts} hosts has 1 to ${maxServers} servers, not ${servers}`,
    );
  }
}
