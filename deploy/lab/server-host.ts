import { LabMachine } from "./lab-machine.js";
import { LabServer, type ServerProcess } from "./lab-server.js";
import type { Machine } from "./machine.js";
import type { ProcessInfo } from "./processes.js";

/** A machine for the control plane alone, without Docker. Nothing runs on it in a lab whose hosts have the servers. */
export class ServerHost extends LabMachine {
  /** For the CLI and the agents. */
  readonly serverAddress: string;
  /** Health and metrics. */
  readonly httpUrl: string;
  readonly logs: { readonly server: string };
  readonly program: LabServer;
  readonly #runsServer: boolean;

  constructor(machine: Machine, { runsServer }: { readonly runsServer: boolean }) {
    super(machine);
    this.program = new LabServer({ machine });
    this.serverAddress = this.program.address;
    this.httpUrl = this.program.httpUrl;
    this.logs = { server: this.program.log };
    this.#runsServer = runsServer;
  }

  override async start(signal?: AbortSignal): Promise<void> {
    await this.machine.boot(signal);
    if (this.#runsServer) await this.startServer(signal);
  }

  processes(which: ServerProcess): ProcessInfo[] {
    return this.program.processes(which);
  }

  /** Signals the server or its etcd; after SIGKILL it returns when the process is gone. */
  killProcess(which: ServerProcess, signal?: NodeJS.Signals): Promise<void> {
    return this.program.kill(which, signal);
  }

  /** Starts `berth server` and waits until it is healthy. */
  async startServer(signal?: AbortSignal): Promise<void> {
    await this.program.launch();
    await this.program.untilHealthy(signal);
  }

  isHealthy(): Promise<boolean> {
    return this.program.isHealthy();
  }
}
