import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { agentCommand, BERTH_PATH } from "../../../deploy/lab/berth-commands.js";
import type { LabHost } from "../../../deploy/lab/lab-host.js";
import { eventually } from "../../harness/eventually.js";

/** The built agent inside a lab host, where it sees the host's network devices. It ends with the lab. */
export class LabAgent {
  readonly #host: LabHost;
  readonly #server: string;
  readonly #dataDir: string;
  #child: ChildProcess | undefined;

  constructor(host: LabHost, options: { readonly server: string; readonly dataDir: string }) {
    this.#host = host;
    this.#server = options.server;
    this.#dataDir = options.dataDir;
  }

  /** @param enter Prefix of the command line, for example one that creates a namespace. */
  start(enter: readonly string[] = []): void {
    const command = agentCommand({
      berthPath: BERTH_PATH,
      address: this.#host.address,
      serverAddresses: [this.#server],
      dataDir: this.#dataDir,
      dockerSocket: "/run/docker.sock",
    });
    const [program = "", ...args] = this.#host.commandInside([...enter, ...command]);
    this.#child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    const log = createWriteStream(`${this.#dataDir}.log`, { flags: "a" });
    this.#child.stdout?.pipe(log);
    this.#child.stderr?.pipe(log);
  }

  async kill(): Promise<void> {
    await this.#host.killProcess("agent", "SIGKILL");
    await eventually("the agent has exited", () => this.#host.processes("agent").length === 0);
  }
}
