import { join } from "node:path";
import { isBerthCommand, SERVER_HTTP_PORT, SERVER_PORT, serverCommand } from "./berth-commands.js";
import { endedWhileStarting } from "./daemon-error.js";
import { killProcess } from "./kill-process.js";
import { LabError } from "./lab-error.js";
import { LabMachine } from "./lab-machine.js";
import type { Machine } from "./machine.js";
import { isAlive, type ProcessInfo } from "./processes.js";
import { waitUntil } from "./wait-until.js";

/** The server starts its etcd and waits for it. */
const SERVER_READY_TIMEOUT_MS = 60_000;
/** Milliseconds as a rule; a machine with more work than processors takes its time. */
const HEALTH_TIMEOUT_MS = 3_000;

export type ServerProcess = "server" | "etcd";

/** The machine of the control plane: `berth server` with the etcd that it starts itself; no Docker. */
export class ServerHost extends LabMachine {
  /** For the CLI and the agents. */
  readonly serverAddress: string;
  /** Health and metrics. */
  readonly httpUrl: string;
  readonly logs: { readonly server: string };
  readonly #berth: boolean;

  constructor(machine: Machine, options: { readonly berth: boolean }) {
    super(machine);
    this.serverAddress = `${machine.address}:${SERVER_PORT}`;
    this.httpUrl = `http://${machine.address}:${SERVER_HTTP_PORT}`;
    this.logs = { server: join(machine.paths.logDir, "server.log") };
    this.#berth = options.berth;
  }

  override async start(signal?: AbortSignal): Promise<void> {
    await this.machine.boot(signal);
    if (this.#berth) await this.startServer(signal);
  }

  processes(which: ServerProcess): ProcessInfo[] {
    return this.machine.processes().filter(isProcess[which]);
  }

  /** Signals the server or its etcd; after SIGKILL it returns when the process is gone. */
  killProcess(which: ServerProcess, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    return killProcess({ what: `${which} of ${this.name}`, signal, find: () => this.processes(which) });
  }

  /** Starts `berth server` and waits until it is healthy. */
  async startServer(signal?: AbortSignal): Promise<void> {
    if (this.processes("server").length > 0)
      throw new LabError("LAB_HOST_UP", "the server is running already");
    const dataDir = join(this.machine.paths.dataDir, "berth");
    const command = serverCommand({ address: this.address, dataDir });
    const server = await this.machine.spawnDaemon(command, this.logs.server);
    const healthyOrDies = async (): Promise<boolean> => {
      if (await this.isHealthy()) return true;
      if (server && isAlive(server)) return false;
      throw await endedWhileStarting("berth server", this.logs.server);
    };
    await waitUntil(healthyOrDies, {
      what: `berth server (log: ${this.logs.server})`,
      timeoutMs: SERVER_READY_TIMEOUT_MS,
      signal,
    });
  }

  async isHealthy(): Promise<boolean> {
    try {
      const response = await fetch(`${this.httpUrl}/healthz`, {
        signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
      });
      await response.body?.cancel();
      return response.ok;
    } catch {
      return false;
    }
  }
}

const isProcess: Record<ServerProcess, (info: ProcessInfo) => boolean> = {
  server: ({ argv }) => isBerthCommand(argv, "server"),
  etcd: ({ command }) => command === "etcd",
};
