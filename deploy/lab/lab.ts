import { BaseLab, runBerthProcess } from "./base-lab.js";
import { BERTH_PATH } from "./berth-commands.js";
import { LabHost } from "./lab-host.js";
import {
  type CreateLabOptions,
  findDockerDirectory,
  type LabPrograms,
  validateOptions,
} from "./lab-options.js";
import { LabServer, ServerMachine } from "./lab-server.js";
import type { LabState, NamespaceSettings } from "./lab-state.js";
import { Lan } from "./lan.js";
import { launchLab } from "./launch-lab.js";
import { NamespaceMachine } from "./namespace-machine.js";
import { DEFAULT_LAB, hostAddress, serverMachineAddress } from "./subnet.js";

/** A lab whose machines are namespaces of this machine. */
export class Lab extends BaseLab<LabHost, LabServer> {
  readonly hosts: readonly LabHost[];
  /** The machine without Docker. It runs the only server, unless the hosts run servers. */
  readonly serverMachine: ServerMachine;
  readonly servers: readonly LabServer[];

  constructor(state: LabState<NamespaceSettings>, programs: LabPrograms = {}) {
    const { berthPath = BERTH_PATH, runBerth = runBerthProcess, joinAgent } = programs;
    super(state, runBerth);
    const { name: lab, subnet, hasBerth, serverHostCount } = state;
    const { dockerConfig, dockerDirectory } = state.machines;
    const lan = new Lan(lab);
    const runsServer = hasBerth && serverHostCount === 0;
    const serverMachine = new NamespaceMachine({
      lab,
      name: "s1",
      address: serverMachineAddress(subnet),
      lan,
    });
    this.serverMachine = new ServerMachine({ lab, machine: serverMachine, runsServer, berthPath });
    const machines = state.hostNames.map((hostName, index) => {
      const address = hostAddress(subnet, index);
      return new NamespaceMachine({ lab, name: hostName, address, lan, overlayDirectory: dockerDirectory });
    });
    const servers = runsServer
      ? [this.serverMachine.berthServer]
      : createServers(lab, machines.slice(0, serverHostCount), berthPath);
    this.servers = servers;
    const { images } = this;
    this.hosts = machines.map(
      (machine) => new LabHost({ lab, machine, images, dockerConfig, servers, berthPath, joinAgent }),
    );
  }

  get machines(): readonly (ServerMachine | LabHost)[] {
    return [this.serverMachine, ...this.hosts];
  }
}

/**
 * Creates a lab. Returns once Docker responds on every host and every server is healthy. Removes the lab again after an
 * error or an abort. Removes abandoned test labs first.
 *
 * @throws LabError LAB_EXISTS, LAB_BAD_USAGE, LAB_UNSUPPORTED, LAB_NOT_READY.
 */
export async function createLab(options: CreateLabOptions): Promise<Lab> {
  const { name = DEFAULT_LAB, dockerConfig = {} } = options;
  validateOptions(options);
  const machines: NamespaceSettings = {
    kind: "namespaces",
    dockerConfig,
    dockerDirectory: findDockerDirectory(options.docker),
  };
  return launchLab({ ...options, name, machines, open: (state) => new Lab(state, options) });
}

/** Returns the servers of a cluster. The first machine creates it, and the others join. */
function createServers(
  lab: string,
  [machine, ...others]: readonly NamespaceMachine[],
  berthPath: string,
): readonly LabServer[] {
  if (machine === undefined) return [];
  const first = new LabServer({ lab, machine, berthPath });
  return [first, ...others.map((other) => new LabServer({ lab, machine: other, first, berthPath }))];
}
