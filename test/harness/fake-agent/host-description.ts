import { type DataPlane, NodeDescription, PROTOCOL_VERSIONS } from "@berth/proto";

/** Options of the host that an agent describes. */
export interface HostOptions {
  readonly nodeId: string;
  readonly hostname?: string;
  readonly memoryBytes?: number;
  /** Capabilities of the data plane. Default: overlay networks. Undefined imitates an agent without networks. */
  readonly dataPlane?: Partial<DataPlane> | undefined;
  /** Fields of the node's description that differ from those of an honest agent. */
  readonly description?: Partial<NodeDescription>;
}

/** Returns the description that an agent sends to the leader. */
export function describeHost(options: HostOptions, address: string): NodeDescription {
  const { nodeId, hostname, memoryBytes } = options;
  const dataPlane = "dataPlane" in options ? options.dataPlane : { overlay: true };
  const description = NodeDescription.fromPartial({
    hostname: hostname ?? nodeId,
    address,
    os: "linux",
    architecture: "x86_64",
    nanoCpus: 4e9,
    memoryBytes: memoryBytes ?? 8 * 1024 ** 3,
    agentVersion: "fake",
    protocolVersion: PROTOCOL_VERSIONS.newest,
    engineReady: true,
    dataPlane,
  });
  return { ...description, ...options.description };
}
