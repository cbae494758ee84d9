import { cliCommand } from "./berth-commands.js";
import { buildImage, LabImages } from "./images.js";
import { LabError } from "./lab-error.js";
import type { DockerHost, LabMachine } from "./lab-machine.js";
import type { RunBerth } from "./lab-options.js";
import type { LabState } from "./lab-state.js";
import { labPaths } from "./paths.js";
import { type RunOptions, type RunResult, run } from "./run.js";
import type { ServerEndpoint } from "./server-endpoint.js";
import { removeLab } from "./teardown.js";

export interface LoadImageOptions<H extends DockerHost = DockerHost> {
  /** Default: all hosts of the lab. */
  readonly hosts?: readonly H[];
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (step: string) => void;
}

/** Several Docker hosts and one or more berth servers. Subclasses create the machines. */
export abstract class BaseLab<H extends DockerHost = DockerHost, S extends ServerEndpoint = ServerEndpoint> {
  readonly name: string;
  abstract readonly hosts: readonly H[];
  /** The hosts, and the server machine if there is one. */
  abstract readonly machines: readonly LabMachine[];
  /** All berth servers, on hosts or on the server machine. Empty in a lab without berth. */
  abstract readonly servers: readonly S[];
  readonly hasBerth: boolean;
  /** Directory with the administrator's context, for `BERTH_CONFIG`. */
  readonly configDir: string;
  protected readonly images: LabImages;
  protected readonly runBerth: RunBerth;

  constructor({ name, hasBerth }: LabState, runBerth: RunBerth = runBerthProcess) {
    const { configDir, imagesDir } = labPaths(name);
    this.name = name;
    this.hasBerth = hasBerth;
    this.configDir = configDir;
    this.images = new LabImages(imagesDir);
    this.runBerth = runBerth;
  }

  /** `ADDRESS:PORT` of each server. */
  get serverAddresses(): readonly string[] {
    return this.servers.map(({ address }) => address);
  }

  /** Returns the leader's host, or undefined if there is no leader, or if it runs on the server machine. */
  async leaderHost(): Promise<H | undefined> {
    const leader = await this.leader();
    return this.hosts.find(({ name }) => name === leader?.name);
  }

  /** Returns the server that reports to be the leader, or undefined if none does. */
  async leader(): Promise<S | undefined> {
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
  host(name: string): H {
    const host = this.hosts.find((candidate) => candidate.name === name);
    if (host !== undefined) return host;
    const names = this.hosts.map((candidate) => candidate.name).join(", ");
    throw new LabError("LAB_NOT_FOUND", `lab ${this.name} has no host ${name} (hosts: ${names})`);
  }

  /**
   * Returns the machine with this name: a host or the server machine.
   *
   * @throws LabError LAB_NOT_FOUND with the names of the existing hosts.
   */
  machine(name: string): LabMachine {
    return this.machines.find((machine) => machine.name === name) ?? this.host(name);
  }

  getAddress(name: string): string {
    return this.machine(name).address;
  }

  /** Returns the environment for a `berth` CLI that administers this lab's cluster. */
  cliEnv(): NodeJS.ProcessEnv {
    return { ...process.env, BERTH_CONFIG: this.configDir, BERTH_SERVER: "" };
  }

  /** Runs the `berth` CLI against this lab's servers. */
  berth(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return this.runBerth(args, { env: { ...this.cliEnv(), NO_COLOR: "1" }, ...options });
  }

  /**
   * Builds an image from a directory or an archive (see {@link buildImage}) and loads it onto all hosts that are up.
   * Hosts that are down load it when they start.
   */
  async loadImage(source: string, tag: string, options: LoadImageOptions<H> = {}): Promise<void> {
    const { hosts = this.hosts, signal, onProgress } = options;
    const [first, ...others] = hosts.filter((host) => host.isUp);
    if (!first) throw new LabError("LAB_HOST_DOWN", `cannot load ${tag}: no host of lab ${this.name} is up`);
    await buildImage({ source, tag, dockerSocket: first.dockerSocket, signal });
    onProgress?.(`built ${tag} on ${first.name}`);
    await this.images.store(tag, first.dockerSocket, signal);
    await Promise.all(others.map((host) => this.images.loadMissing(host.dockerSocket, signal)));
    onProgress?.(`loaded ${tag} onto ${[first, ...others].map((host) => host.name).join(", ")}`);
  }

  /** Stops and removes the lab. */
  down(): Promise<void> {
    return removeLab(this.name);
  }
}

/** Runs a command of the `berth` CLI in a process of its own. */
export function runBerthProcess(args: readonly string[], options: RunOptions): Promise<RunResult> {
  return run(cliCommand(args), options);
}
