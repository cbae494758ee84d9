import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LabHost } from "../../../deploy/lab/lab-host.js";
import { eventually } from "../../harness/eventually.js";

const PORT = 5000;
/** Docker uses HTTP for registries on loopback addresses. */
export const REGISTRY = `127.0.0.1:${PORT}`;

/** Kills the registry when its parent process ends. */
const KILL_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"];

/**
 * Debian's registry on the loopback device of a lab host, without authentication. Registries of several hosts with the
 * same directory have the same images.
 */
export class LabRegistry {
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess) {
    this.#process = process;
  }

  static async start(host: LabHost, directory: string): Promise<LabRegistry> {
    const configFile = join(directory, `${host.name}.yml`);
    // JSON is YAML. The registry has no cache, because the registry of another host changes the same files.
    const config = {
      version: 0.1,
      log: { level: "error" },
      storage: { filesystem: { rootdirectory: join(directory, "images") } },
      http: { addr: REGISTRY },
    };
    writeFileSync(configFile, JSON.stringify(config));
    const serve = [...KILL_WITH_PARENT, "docker-registry", "serve", configFile];
    const [program = "", ...args] = host.commandInside(serve);
    const registry = new LabRegistry(spawn(program, args, { stdio: "ignore" }));
    const connect = ["bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/${PORT}`];
    await eventually(`the registry on ${host.name} accepts connections`, async () => {
      const { code } = await host.exec(connect);
      return code === 0;
    });
    return registry;
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill("SIGKILL");
    await once(this.#process, "exit");
  }
}
