import { BERTH_PATH, cliCommand } from "./berth-commands.js";
import { claimLabName, labCommand } from "./claim-name.js";
import { createContext } from "./cluster-access.js";
import { buildImage, LabImages } from "./images.js";
import { LabError } from "./lab-error.js";
import { LabHost } from "./lab-host.js";
import type { LabMachine } from "./lab-machine.js";
import {
  type CreateLabOptions,
  findDockerDirectory,
  type LabPrograms,
  type RunBerth,
  validateOptions,
} from "./lab-options.js";
import { LabServer, ServerMachine } from "./lab-server.js";
import { type LabState, readLabState, readLabStatus, STATE_VERSION, writeLabState } from "./lab-state.js";
import { Lan } from "./lan.js";
import { Machine } from "./machine.js";
import { isLabName, labPaths } from "./paths.js";
import { selfRef } from "./processes.js";
import { type RunOptions, type RunResult, run } from "./run.js";
import { claimSubnet, DEFAULT_LAB, hostAddress, rootAddress, serverMachineAddress } from "./subnet.js";
import { removeAbandonedTestLabs, removeLab } from "./teardown.js";

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
  /** The machine without Docker. It runs the only server, unless the hosts run servers. */
  readonly serverMachine: ServerMachine;
  /** All berth servers, on hosts or on the server machine. Empty in a lab without berth. */
  readonly servers: readonly LabServer[];
  /** `ADDRESS:PORT` of each server. */
  readonly serverAddresses: readonly string[];
  readonly hasBerth: boolean;
  /** Directory with the administrator's context, for `BERTH_CONFIG`. */
  readonly configDir: string;
  readonly #images: LabImages;
  readonly #runBerth: RunBerth;

  constructor(state: LabState, programs: LabPrograms = {}) {
    const { berthPath = BERTH_PATH, runBerth = runBerthProcess, joinAgent } = programs;
    const { name, subnet, hasBerth, dockerConfig, dockerDirectory, serverHostCount } = state;
    const lan = new Lan(name);
    const images = new LabImages(labPaths(name).imagesDir);
    const serverMachine = new Machine({ lab: name, name: "s1", address: serverMachineAddress(subnet), lan });
    const runsServer = hasBerth && serverHostCount === 0;
    this.name = name;
    this.hasBerth = hasBerth;
    this.#runBerth = runBerth;
    this.configDir = labPaths(name).configDir;
    this.serverMachine = new ServerMachine(serverMachine, { runsServer, berthPath });
    const machines = state.hostNames.map((hostName, index) => {
      const address = hostAddress(subnet, index);
      return new Machine({ lab: name, name: hostName, address, lan, overlayDirectory: dockerDirectory });
    });
    const servers = runsServer
      ? [this.serverMachine.berthServer]
      : createServers(machines.slice(0, serverHostCount), berthPath);
    this.servers = servers;
    this.serverAddresses = servers.map(({ address }) => address);
    this.#images = images;
    this.hosts = machines.map(
      (machine) => new LabHost({ lab: name, machine, images, dockerConfig, servers, berthPath, joinAgent }),
    );
  }

  /** Returns the leader's host, or undefined if there is no leader, or if it runs on the server machine. */
  async leaderHost(): Promise<LabHost | undefined> {
    const leader = await this.leader();
    return this.hosts.find(({ name }) => name === leader?.name);
  }

  /** Returns the server that reports to be the leader, or undefined if none does. */
  async leader(): Promise<LabServer | undefined> {
    const responses = await Promise.all(
      this.servers.map(async (server) => ({ server, health: await server.health() })),
    );
    // A partitioned leader keeps its role until its lease expires, but its status is not "ok" without etcd.
    return responses.find(({ health }) => health?.role === "leader" && health.status === "ok")?.server;
  }

  /**
   * Returns the host with this name.
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
    return name === this.serverMachine.name ? this.serverMachine.address : this.host(name).address;
  }

  /** Returns the environment for a `berth` CLI that administers this lab's cluster. */
  cliEnv(): NodeJS.ProcessEnv {
    return { ...process.env, BERTH_CONFIG: this.configDir, BERTH_SERVER: "" };
  }

  /** Runs the `berth` CLI against this lab's servers. */
  berth(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return this.#runBerth(args, { env: { ...this.cliEnv(), NO_COLOR: "1" }, ...options });
  }

  /**
   * Builds an image from a directory or an archive (see {@link buildImage}) and loads it onto all hosts that are up.
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

  /** Stops and removes the lab. */
  down(): Promise<void> {
    return removeLab(this.name);
  }
}

/**
 * Creates a lab. Returns once Docker responds on every host and every server is healthy. Removes the lab again after an
 * error or an abort. Removes abandoned test labs first.
 *
 * @throws LabError LAB_EXISTS, LAB_BAD_USAGE, LAB_UNSUPPORTED, LAB_NOT_READY.
 */
export async function createLab(options: CreateLabOptions): Promise<Lab> {
  const { name = DEFAULT_LAB, signal } = options;
  validateOptions(options);
  const dockerDirectory = findDockerDirectory(options.docker);
  await removeAbandonedTestLabs();
  await claimLabName(name);
  try {
    const state = await initializeState(name, options, dockerDirectory);
    await new Lan(name).create(rootAddress(state.subnet), signal);
    const lab = new Lab(state, options);
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
 * Opens a running lab.
 *
 * @throws LabError LAB_NOT_FOUND if the lab is not running.
 */
export async function openLab(name: string = DEFAULT_LAB): Promise<Lab> {
  const isRunning = isLabName(name) && (await readLabStatus(name)) === "running";
  if (!isRunning)
    throw new LabError(
      "LAB_NOT_FOUND",
      `lab ${name} is not running; create it with ${labCommand("up", name)}`,
    );
  const state = await readLabState(name);
  if (state) return new Lab(state);
  throw new LabError(
    "LAB_NOT_FOUND",
    `lab ${name} was created by another version of this program; remove it with ${labCommand("down", name)}`,
  );
}

function runBerthProcess(args: readonly string[], options: RunOptions): Promise<RunResult> {
  return run(cliCommand(args), options);
}

async function startAll(
  lab: Lab,
  { runBerth = runBerthProcess, signal, onProgress }: CreateLabOptions,
): Promise<void> {
  const start = async (machine: LabMachine): Promise<void> => {
    await machine.start(signal);
    onProgress?.(`started ${machine.name} at ${machine.address}`);
  };
  // Wait for all machines even if one fails: the clean-up must not race with a machine that is still starting.
  const results = await Promise.allSettled([
    ...[lab.serverMachine, ...lab.hosts].map(start),
    createContext(lab.servers, { configDir: lab.configDir, runBerth }, signal),
  ]);
  for (const result of results) if (result.status === "rejected") throw result.reason;
  await Promise.all(lab.servers.map((server) => server.waitUntilHealthy(signal)));
  if (lab.servers.length > 1) onProgress?.(`${lab.servers.length} servers are healthy`);
}

/** Returns the servers of a cluster. The first machine creates it, and the others join. */
function createServers([machine, ...others]: readonly Machine[], berthPath: string): readonly LabServer[] {
  if (machine === undefined) return [];
  const first = new LabServer({ machine, berthPath });
  return [first, ...others.map((other) => new LabServer({ machine: other, first, berthPath }))];
}

/** Claims a subnet and stores the description of the new lab. */
async function initializeState(
  name: string,
  options: CreateLabOptions,
  dockerDirectory: string,
): Promise<LabState> {
  const { hosts, servers = 0, hasBerth = true, dockerConfig = {} } = options;
  const state: LabState = {
    version: STATE_VERSION,
    name,
    subnet: await claimSubnet(name),
    hostNames: Array.from({ length: hosts }, (_, index) => `h${index + 1}`),
    hasBerth,
    serverHostCount: hasBerth ? servers : 0,
    dockerConfig,
    dockerDirectory,
    creator: selfRef(),
    isComplete: false,
  };
  await writeLabState(state);
  return state;
}
