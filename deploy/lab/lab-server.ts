import { rm } from "node:fs/promises";
import { join } from "node:path";
import {
  isBerthCommand,
  recoverCommand,
  SERVER_HTTP_PORT,
  serverAddressOn,
  serverCommand,
} from "./berth-commands.js";
import { joinOnce } from "./cluster-access.js";
import { killProcess, readStartupError } from "./daemons.js";
import { LabError } from "./lab-error.js";
import { LabMachine } from "./lab-machine.js";
import type { Machine } from "./machine.js";
import { isAlive, type ProcessInfo, type ProcessRef } from "./processes.js";
import type { RunOptions, RunResult } from "./run.js";
import { waitUntil } from "./wait-until.js";

/** Timeout until a server is healthy, including the start of its etcd. */
const READY_TIMEOUT_MS = 60_000;
/** Timeout of a health check. It takes milliseconds, and longer on an overloaded machine. */
const HEALTH_TIMEOUT_MS = 3_000;

export type ServerProcess = "server" | "etcd";

/** Response of a server's health endpoint. */
export interface ServerHealth {
  readonly status: string;
  readonly role: string;
  /** The leader's address. Null if the server knows of no leader. */
  readonly leader: string | null;
}

export interface LabServerOptions {
  readonly machine: Machine;
  /** The server that created the cluster, which this server joins. Undefined if this server creates the cluster. */
  readonly first?: LabServer | undefined;
  readonly berthPath: string;
}

/** Name of the server's data directory. Differs from the agent's, because a machine may run both. */
const DATA_DIRECTORY = "berth-server";

/** `berth server` on a machine, with the etcd that it embeds. */
export class LabServer {
  /** Name of the machine. */
  readonly name: string;
  /** `ADDRESS:PORT` for the CLI and the agents. */
  readonly address: string;
  /** URL of the health checks and metrics. */
  readonly httpUrl: string;
  /** Path of the server's log. */
  readonly log: string;
  /** Path of the server's unix socket in the root namespace. */
  readonly socket: string;
  readonly dataDir: string;
  /** Additional server arguments. They take effect when the server next starts. */
  extraArgs: readonly string[] = [];
  /** Path of the server's `berth` program. Takes effect when the server next starts. */
  berthPath: string;
  readonly #machine: Machine;
  readonly #first: LabServer | undefined;
  #process: ProcessRef | undefined;

  constructor({ machine, first, berthPath }: LabServerOptions) {
    this.berthPath = berthPath;
    this.name = machine.name;
    this.address = serverAddressOn(machine.address);
    this.httpUrl = `http://${machine.address}:${SERVER_HTTP_PORT}`;
    this.log = join(machine.paths.logDir, "server.log");
    this.socket = join(machine.paths.runDir, "berth/server.sock");
    this.#machine = machine;
    this.#first = first;
    this.dataDir = join(machine.paths.dataDir, DATA_DIRECTORY);
  }

  /** Joins the first server's cluster once that server is healthy. Does nothing if this server has already joined. */
  async join(signal?: AbortSignal): Promise<void> {
    if (this.#first === undefined) return;
    const { berthPath } = this;
    const options = { machine: this.#machine, dataDir: this.dataDir, server: this.#first, berthPath };
    await joinOnce({ ...options, program: "server" }, signal);
  }

  /** Kills the server and its etcd, and deletes their data. */
  async destroy(): Promise<void> {
    // The server may have stopped by itself, and its etcd exits with it.
    for (const which of ["server", "etcd"] as const)
      if (this.processes(which).length > 0) await this.kill(which);
    await rm(this.dataDir, { recursive: true, force: true });
  }

  /** Joins another server's cluster as a new member, starts the server, and waits until it is healthy. */
  async replace(through: LabServer, signal?: AbortSignal): Promise<void> {
    const { berthPath } = this;
    const options = { machine: this.#machine, dataDir: this.dataDir, server: through, berthPath };
    await joinOnce({ ...options, program: "server" }, signal);
    await this.startWithoutWaiting();
    await this.waitUntilHealthy(signal);
  }

  /** Makes this stopped server the only member of its cluster, after the quorum was lost. */
  recover(options?: RunOptions): Promise<RunResult> {
    const { berthPath } = this;
    return this.#machine.exec(recoverCommand({ berthPath, dataDir: this.dataDir }), options);
  }

  processes(which: ServerProcess): ProcessInfo[] {
    return this.#machine.processes().filter(MATCHES_PROCESS[which]);
  }

  /** Signals the server or its etcd. After SIGKILL, waits until the process is gone. */
  kill(which: ServerProcess, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    return killProcess({ what: `${which} on ${this.name}`, signal, find: () => this.processes(which) });
  }

  /** Starts the server and returns at once: in a cluster, it becomes healthy only once a quorum is up. */
  async startWithoutWaiting(): Promise<void> {
    if (this.processes("server").length > 0)
      throw new LabError("LAB_HOST_UP", `the server on ${this.name} is already running`);
    const { address } = this.#machine;
    const { berthPath, extraArgs } = this;
    const command = [...serverCommand({ berthPath, address, dataDir: this.dataDir }), ...extraArgs];
    this.#process = await this.#machine.spawnDaemon(command, this.log);
  }

  /**
   * Waits until the server reports that it is healthy.
   *
   * @throws LabError LAB_NOT_READY at the deadline, or, with the end of the log, if the server has exited.
   */
  async waitUntilHealthy(signal?: AbortSignal): Promise<void> {
    const isReady = async (): Promise<boolean> => {
      if (await this.isHealthy()) return true;
      if (this.#process === undefined || isAlive(this.#process)) return false;
      throw await readStartupError("berth server", this.log);
    };
    await waitUntil(isReady, {
      what: `berth server on ${this.name} to become healthy (log: ${this.log})`,
      timeoutMs: READY_TIMEOUT_MS,
      signal,
    });
  }

  /** Runs etcdctl on the machine, with the server's etcd client certificate. */
  etcdctl(args: readonly string[], options?: RunOptions): Promise<RunResult> {
    const argv = this.processes("etcd")[0]?.argv ?? [];
    const endpoint = /--advertise-client-urls[= ](\S+)/.exec(argv.join(" "))?.[1] ?? "";
    const directory = join(this.dataDir, "identity/etcd");
    const access = {
      "--endpoints": endpoint,
      "--cacert": join(directory, "authorities.pem"),
      "--cert": join(directory, "certificate.pem"),
      "--key": join(directory, "key.pem"),
    };
    return this.#machine.exec(["etcdctl", ...Object.entries(access).flat(), ...args], options);
  }

  async isHealthy(): Promise<boolean> {
    return (await this.health())?.status === "ok";
  }

  /** Returns the server's health, or undefined if the server does not respond. */
  async health(): Promise<ServerHealth | undefined> {
    try {
      const response = await fetch(`${this.httpUrl}/healthz`, {
        signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
      });
      return (await response.json()) as ServerHealth;
    } catch {
      return undefined;
    }
  }
}

const MATCHES_PROCESS: Record<ServerProcess, (info: ProcessInfo) => boolean> = {
  server: ({ argv }) => isBerthCommand(argv, "server"),
  etcd: ({ command }) => command === "etcd",
};

/** A machine without Docker that runs the only server. Idle in a lab whose hosts run the servers. */
export class ServerMachine extends LabMachine {
  /** URL of the health checks and metrics. */
  readonly httpUrl: string;
  readonly logs: { readonly server: string };
  readonly berthServer: LabServer;
  readonly #runsServer: boolean;

  constructor(
    machine: Machine,
    { runsServer, berthPath }: { readonly runsServer: boolean; readonly berthPath: string },
  ) {
    super(machine);
    this.berthServer = new LabServer({ machine, berthPath });
    this.httpUrl = this.berthServer.httpUrl;
    this.logs = { server: this.berthServer.log };
    this.#runsServer = runsServer;
  }

  /** Returns the server's metrics. Reads them on the machine, because the server serves them only to its own host. */
  async readMetrics(): Promise<string> {
    return (await this.exec(["busybox", "wget", "-qO-", `${this.httpUrl}/metrics`])).stdout;
  }

  override async start(signal?: AbortSignal): Promise<void> {
    await this.machine.boot(signal);
    if (this.#runsServer) await this.startServer(signal);
  }

  processes(which: ServerProcess): ProcessInfo[] {
    return this.berthServer.processes(which);
  }

  /** Signals the server or its etcd. After SIGKILL, waits until the process is gone. */
  killProcess(which: ServerProcess, signal?: NodeJS.Signals): Promise<void> {
    return this.berthServer.kill(which, signal);
  }

  /** Starts the server and waits until it is healthy. */
  async startServer(signal?: AbortSignal): Promise<void> {
    await this.berthServer.startWithoutWaiting();
    await this.berthServer.waitUntilHealthy(signal);
  }

  isHealthy(): Promise<boolean> {
    return this.berthServer.isHealthy();
  }
}
