import { join } from "node:path";
import { joinOnce } from "../cluster-access.js";
import { pingDocker } from "../daemons.js";
import type { LabImages } from "../images.js";
import { DockerHost } from "../lab-machine.js";
import { waitUntil } from "../wait-until.js";
import type { QemuMachine } from "./qemu-machine.js";
import { berthCommand, enableUnit, isUnitActive, writeEnvironment } from "./units.js";
import type { VmServer } from "./vm-server.js";

const UNIT = "berth-agent";
const DATA_DIR = "/var/lib/berth/agent";
/** dockerd starts within 2 s on a real machine. Emulation multiplies the timeouts of the lab. */
const DOCKER_TIMEOUT_MS = 60_000;

export interface VmHostOptions {
  readonly lab: string;
  readonly machine: QemuMachine;
  readonly images: LabImages;
  /** All servers of the lab. Empty if the host runs only Docker. */
  readonly servers: readonly VmServer[];
  /** Factor of berth's own timings. */
  readonly timingScale: number;
}

/** A virtual machine with Docker and, in a lab with berth, the unit `berth-agent`. */
export class VmHost extends DockerHost<QemuMachine> {
  readonly dockerSocket: string;
  readonly agentLogHint: string;
  /** The server on this host, if it runs one. */
  readonly server: VmServer | undefined;
  readonly #options: VmHostOptions;

  constructor(options: VmHostOptions) {
    super(options.machine);
    this.dockerSocket = join(options.machine.paths.runDir, "docker.sock");
    this.agentLogHint = `npm run lab -- shell ${this.name} --name ${options.lab} -- journalctl -u ${UNIT}`;
    this.server = options.servers.find(({ name }) => name === this.name);
    this.#options = options;
  }

  /** Powers the host on. systemd starts Docker, the server and the agent, if they were enabled before. */
  override async start(signal?: AbortSignal): Promise<void> {
    await this.machine.boot(signal);
    await this.server?.join(signal);
    await this.server?.startWithoutWaiting();
    await waitUntil(() => pingDocker(this.dockerSocket), {
      what: `Docker on ${this.name} to respond`,
      timeoutMs: DOCKER_TIMEOUT_MS,
      signal,
    });
    await this.#options.images.loadMissing(this.dockerSocket, signal);
    const server = await this.#findServer();
    if (server !== undefined) await this.#startAgent(server, signal);
  }

  override async describeDaemons(): Promise<readonly string[]> {
    const daemons = [...((await this.server?.describeDaemons()) ?? [])];
    if (await pingDocker(this.dockerSocket)) daemons.push("docker");
    if (await isUnitActive(this.machine, UNIT)) daemons.push("agent");
    return daemons;
  }

  /** Returns a healthy server, or the first one if none is healthy. Undefined in a lab without berth. */
  async #findServer(): Promise<VmServer | undefined> {
    const { servers } = this.#options;
    for (const server of servers) if (await server.isHealthy()) return server;
    return servers[0];
  }

  async #startAgent(server: VmServer, signal: AbortSignal | undefined): Promise<void> {
    const { machine } = this;
    const { timingScale } = this.#options;
    await writeEnvironment(machine, "agent", {
      BERTH_ADVERTISE: this.address,
      BERTH_TIMING_SCALE: String(timingScale),
    });
    const join = ["agent", "join", server.address, "--advertise", this.address, "--token-file", "-"];
    const command = berthCommand(join, timingScale);
    await joinOnce({ machine, program: "agent", dataDir: DATA_DIR, server, command }, signal);
    await enableUnit(machine, UNIT);
  }
}
