import { join } from "node:path";
import { isBerthCommand, SERVER_HTTP_PORT, SERVER_PORT, serverCommand } from "./berth-commands.js";
import { killProcess, startupError } from "./daemons.js";
import { LabError } from "./lab-error.js";
import { LabMachine } from "./lab-machine.js";
import type { Machine } from "./machine.js";
import { isAlive, type ProcessInfo, type ProcessRef } from "./processes.js";
import { waitUntil } from "./wait-until.js";

/** The server starts its etcd and waits for it. */
const READY_TIMEOUT_MS = 60_000;
/** Milliseconds as a rule; a machine with more work than processors takes its time. */
const HEALTH_TIMEOUT_MS = 3_000;

export type ServerProcess = "server" | "etcd";

/** What a server says of itself. */
export interface ServerHealth {
  readonly status: string;
  readonly role: string;
  /** Address of the server that leads, as far as this one knows. */
  readonly leader: string | null;
}

export interface LabServerOptions {
  readonly machine: Machine;
  /** Addresses of all servers, whose etcds are one cluster; absent: a server alone. */
  readonly cluster?: readonly string[] | undefined;
}

/** `berth server` on a machine, with the etcd that it starts itself. */
export class LabServer {
  /** Name of the machine. */
  readonly name: string;
  /** `ADDRESS:PORT` for the CLI and the agents. */
  readonly address: string;
  /** Health and metrics. */
  readonly httpUrl: string;
  readonly log: string;
  /** Further options, from its next start on. */
  extraArgs: readonly string[] = [];
  readonly #machine: Machine;
  readonly #cluster: readonly string[] | undefined;
  #process: ProcessRef | undefined;

  constructor({ machine, cluster }: LabServerOptions) {
    this.name = machine.name;
    this.address = `${machine.address}:${SERVER_PORT}`;
    this.httpUrl = `http://${machine.address}:${SERVER_HTTP_PORT}`;
    this.log = join(machine.paths.logDir, "server.log");
    this.#machine = machine;
    this.#cluster = cluster;
  }

  processes(which: ServerProcess): ProcessInfo[] {
    return this.#machine.processes().filter(isProcess[which]);
  }

  /** Signals the server or its etcd; after SIGKILL it returns when the process is gone. */
  kill(which: ServerProcess, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    return killProcess({ what: `${which} of ${this.name}`, signal, find: () => this.processes(which) });
  }

  /** Starts it without waiting: one of several is not healthy before most of the others run. */
  async startWithoutWaiting(): Promise<void> {
    if (this.processes("server").length > 0)
      throw new LabError("LAB_HOST_UP", `the server on ${this.name} is running already`);
    const { address, paths } = this.#machine;
    // Beside the agent's folder, where both are on one machine.
    const dataDir = join(paths.dataDir, this.#cluster === undefined ? "berth" : "berth-server");
    const command = [...serverCommand({ address, dataDir, cluster: this.#cluster }), ...this.extraArgs];
    this.#process = await this.#machine.spawnDaemon(command, this.log);
  }

  /** @throws LabError when it does not become healthy, with the end of its log if it has died */
  async waitUntilHealthy(signal?: AbortSignal): Promise<void> {
    const healthyOrDies = async (): Promise<boolean> => {
      if (await this.isHealthy()) return true;
      if (this.#process === undefined || isAlive(this.#process)) return false;
      throw await startupError("berth server", this.log);
    };
    await waitUntil(healthyOrDies, {
      what: `berth server on ${this.name} (log: ${this.log})`,
      timeoutMs: READY_TIMEOUT_MS,
      signal,
    });
  }

  async isHealthy(): Promise<boolean> {
    return (await this.health())?.status === "ok";
  }

  /** Undefined when it does not answer. */
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

const isProcess: Record<ServerProcess, (info: ProcessInfo) => boolean> = {
  server: ({ argv }) => isBerthCommand(argv, "server"),
  etcd: ({ command }) => command === "etcd",
};

/** A machine for the control plane alone, without Docker. Nothing runs on it in a lab whose hosts have the servers. */
export class ServerMachine extends LabMachine {
  /** For the CLI and the agents. */
  readonly serverAddress: string;
  /** Health and metrics. */
  readonly httpUrl: string;
  readonly logs: { readonly server: string };
  readonly berthServer: LabServer;
  readonly #runsServer: boolean;

  constructor(machine: Machine, { runsServer }: { readonly runsServer: boolean }) {
    super(machine);
    this.berthServer = new LabServer({ machine });
    this.serverAddress = this.berthServer.address;
    this.httpUrl = this.berthServer.httpUrl;
    this.logs = { server: this.berthServer.log };
    this.#runsServer = runsServer;
  }

  override async start(signal?: AbortSignal): Promise<void> {
    await this.machine.boot(signal);
    if (this.#runsServer) await this.startServer(signal);
  }

  processes(which: ServerProcess): ProcessInfo[] {
    return this.berthServer.processes(which);
  }

  /** Signals the server or its etcd; after SIGKILL it returns when the process is gone. */
  killProcess(which: ServerProcess, signal?: NodeJS.Signals): Promise<void> {
    return this.berthServer.kill(which, signal);
  }

  /** Starts `berth server` and waits until it is healthy. */
  async startServer(signal?: AbortSignal): Promise<void> {
    await this.berthServer.startWithoutWaiting();
    await this.berthServer.waitUntilHealthy(signal);
  }

  isHealthy(): Promise<boolean> {
    return this.berthServer.isHealthy();
  }
}
