import { SERVER_HTTP_PORT } from "../berth-commands.js";
import { joinOnce } from "../cluster-access.js";
import { LabError } from "../lab-error.js";
import { LabMachine } from "../lab-machine.js";
import { ServerEndpoint } from "../server-endpoint.js";
import type { QemuMachine } from "./qemu-machine.js";
import {
  berthCommand,
  enableUnit,
  isUnitActive,
  readJournal,
  type UnitState,
  unitState,
  writeEnvironment,
} from "./units.js";

const UNIT = "berth-server";
const DATA_DIR = "/var/lib/berth/server";

export interface VmServerOptions {
  readonly lab: string;
  readonly machine: QemuMachine;
  /** The server that created the cluster, which this server joins. Undefined if this server creates the cluster. */
  readonly first?: VmServer | undefined;
  /** Factor of berth's own timings. */
  readonly timingScale: number;
}

/** The unit `berth-server` of a virtual machine. */
export class VmServer extends ServerEndpoint {
  readonly log: string;
  readonly #options: VmServerOptions;

  constructor(options: VmServerOptions) {
    super(options.lab, options.machine);
    this.#options = options;
    this.log = `npm run lab -- shell ${this.name} --name ${options.lab} -- journalctl -u ${UNIT}`;
  }

  override async join(signal?: AbortSignal): Promise<void> {
    const { machine, first, timingScale } = this.#options;
    if (first === undefined) return;
    const command = berthCommand(["server", "join", first.address, "--token-file", "-"], timingScale);
    await joinOnce({ machine, program: "server", dataDir: DATA_DIR, server: first, command }, signal);
  }

  override async startWithoutWaiting(): Promise<void> {
    const { machine, timingScale } = this.#options;
    await writeEnvironment(machine, "server", {
      BERTH_LISTEN: this.address,
      BERTH_HTTP: `${machine.address}:${SERVER_HTTP_PORT}`,
      BERTH_TIMING_SCALE: String(timingScale),
    });
    await enableUnit(machine, UNIT);
  }

  protected override isRunning(): Promise<boolean> {
    return isUnitActive(this.#options.machine, UNIT);
  }

  protected override async readExitError(): Promise<LabError | undefined> {
    const { machine } = this.#options;
    const state: UnitState = await unitState(machine, UNIT);
    if (state !== "failed") return undefined;
    return new LabError(
      "LAB_NOT_READY",
      `${UNIT} on ${this.name} failed:\n${await readJournal(machine, UNIT)}`,
    );
  }
}

/** The virtual machine without agent, which runs the only server. */
export class VmServerMachine extends LabMachine<QemuMachine> {
  readonly berthServer: VmServer;

  constructor(options: VmServerOptions) {
    super(options.machine);
    this.berthServer = new VmServer(options);
  }

  override async start(signal?: AbortSignal): Promise<void> {
    await this.machine.boot(signal);
    await this.berthServer.startWithoutWaiting();
    await this.berthServer.waitUntilHealthy(signal);
  }

  override describeDaemons(): Promise<readonly string[]> {
    return this.berthServer.describeDaemons();
  }
}
