import { rm } from "node:fs/promises";
import { join } from "node:path";
import { isBerthCommand, joinCommand, recoverCommand, serverCommand } from "./berth-commands.js";
import { joinOnce } from "./cluster-access.js";
import { killProcess, readStartupError } from "./daemons.js";
import { LabError } from "./lab-error.js";
import { LabMachine } from "./lab-machine.js";
import type { NamespaceMachine } from "./namespace-machine.js";
import { isAlive, type ProcessInfo, type ProcessRef } from "./processes.js";
import type { RunOptions, RunResult } from "./run.js";
import { ServerEndpoint } from "./server-endpoint.js";

export type ServerProcess = "server" | "etcd";

export interface LabServerOptions {
  readonly lab: string;
  readonly machine: NamespaceMachine;
  /** The server that created the cluster, which this server joins. Undefined if this server creates the cluster. */
  readonly first?: LabServer | undefined;
  readonly berthPath: string;
}

/** Name of the server's data directory. Differs from the agent's, because a machine may run both. */
const DATA_DIRECTORY = "berth-server";

const PROCESS_FILTERS: Record<ServerProcess, (info: ProcessInfo) => boolean> = {
  server: ({ argv }) => isBerthCommand(argv, "server"),
  etcd: ({ command }) => command === "etcd",
};

/** `berth server` on a machine, with the etcd that it embeds. */
export class LabServer extends ServerEndpoint {
  /** Path of the server's log. */
  readonly log: string;
  readonly dataDir: string;
  /** Additional server arguments. They take effect when the server next starts. */
  extraArgs: readonly string[] = [];
  /** Path of the server's `berth` program. Takes effect when the server next starts. */
  berthPath: string;
  readonly #machine: NamespaceMachine;
  readonly #first: LabServer | undefined;
  #process: ProcessRef | undefined;

  constructor({ lab, machine, first, berthPath }: LabServerOptions) {
    super(lab, machine);
    this.berthPath = berthPath;
    this.log = join(machine.paths.logDir, "server.log");
    this.#machine = machine;
    this.#first = first;
    this.dataDir = join(machine.paths.dataDir, DATA_DIRECTORY);
  }

  override async join(signal?: AbortSignal): Promise<void> {
    if (this.#first !== undefined) await this.#joinThrough(this.#first, signal);
  }

  async #joinThrough(server: LabServer, signal: AbortSignal | undefined): Promise<void> {
    const { berthPath, dataDir } = this;
    const command = joinCommand("server", { berthPath, address: server.address, dataDir });
    await joinOnce({ machine: this.#machine, program: "server", dataDir, server, command }, signal);
  }

  /** Kills the server and its etcd, and deletes their data. */
  async destroy(): Promise<void> {
    // The server may have stopped by itself, and its etcd exits with it.
    for (const program of ["server", "etcd"] as const) {
      if (this.processes(program).length > 0) await this.kill(program);
    }
    await rm(this.dataDir, { recursive: true, force: true });
  }

  /** Joins another server's cluster as a new member, starts the server, and waits until it is healthy. */
  async replace(through: LabServer, signal?: AbortSignal): Promise<void> {
    await this.#joinThrough(through, signal);
    await this.startWithoutWaiting();
    await this.waitUntilHealthy(signal);
  }

  /** Makes this stopped server the only member of its cluster, after the quorum was lost. */
  recover(options?: RunOptions): Promise<RunResult> {
    const { berthPath } = this;
    return this.#machine.exec(recoverCommand({ berthPath, dataDir: this.dataDir }), options);
  }

  processes(program: ServerProcess): ProcessInfo[] {
    return this.#machine.processes().filter(PROCESS_FILTERS[program]);
  }

  /** Signals the server or its etcd. After SIGKILL, waits until the process is gone. */
  kill(program: ServerProcess, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    return killProcess({ name: `${program} on ${this.name}`, signal, find: () => this.processes(program) });
  }

  override async startWithoutWaiting(): Promise<void> {
    if (this.processes("server").length > 0) {
      throw new LabError("LAB_HOST_UP", `the server on ${this.name} is already running`);
    }
    const { address } = this.#machine;
    const { berthPath, extraArgs } = this;
    const command = [...serverCommand({ berthPath, address, dataDir: this.dataDir }), ...extraArgs];
    this.#process = await this.#machine.spawnDaemon(command, this.log);
  }

  protected override async readExitError(): Promise<LabError | undefined> {
    if (this.#process === undefined || isAlive(this.#process)) return undefined;
    return readStartupError("berth server", this.log);
  }

  protected override async isRunning(): Promise<boolean> {
    return this.processes("server").length > 0;
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
}

/** A machine without Docker that runs the only server. Idle in a lab whose hosts run the servers. */
export class ServerMachine extends LabMachine<NamespaceMachine> {
  /** URL of the health checks and metrics. */
  readonly httpUrl: string;
  readonly logs: { readonly server: string };
  readonly berthServer: LabServer;
  readonly #runsServer: boolean;

  constructor(options: LabServerOptions & { readonly runsServer: boolean }) {
    super(options.machine);
    this.berthServer = new LabServer(options);
    this.httpUrl = this.berthServer.httpUrl;
    this.logs = { server: this.berthServer.log };
    this.#runsServer = options.runsServer;
  }

  /** Returns the server's metrics. Reads them on the machine, because the server serves them only to its own host. */
  async readMetrics(): Promise<string> {
    return (await this.exec(["busybox", "wget", "-qO-", `${this.httpUrl}/metrics`])).stdout;
  }

  override async start(signal?: AbortSignal): Promise<void> {
    await this.machine.boot(signal);
    if (this.#runsServer) await this.startServer(signal);
  }

  override describeDaemons(): Promise<readonly string[]> {
    return this.berthServer.describeDaemons();
  }

  processes(program: ServerProcess): ProcessInfo[] {
    return this.berthServer.processes(program);
  }

  /** Signals the server or its etcd. After SIGKILL, waits until the process is gone. */
  killProcess(program: ServerProcess, signal?: NodeJS.Signals): Promise<void> {
    return this.berthServer.kill(program, signal);
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
