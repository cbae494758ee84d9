import { ServiceSpec } from "@berth/proto";
import type { RpcIdentity } from "@berth/proto/rpc";
import { EtcdStore } from "../../../packages/control-plane/src/store/etcd/etcd-store.js";
import type { TestEtcd } from "../../harness/etcd.js";
import { admitNode, type TestIdentities } from "../../harness/test-identities.js";
import type { AgentCounters } from "./agent-counters.js";
import { SimAgent } from "./sim-agent.js";

/** A simulated host that has joined. */
export interface AdmittedNode {
  readonly nodeId: string;
  readonly identity: RpcIdentity;
}

/** Admits nodes and issues their certificates. */
export async function admitNodes(
  count: number,
  {
    identities,
    etcd,
    signal,
  }: { readonly identities: TestIdentities; readonly etcd: TestEtcd; readonly signal: AbortSignal },
): Promise<readonly AdmittedNode[]> {
  const store = new EtcdStore({ endpoints: [etcd.endpoint] });
  try {
    const nodes: AdmittedNode[] = [];
    for (let index = 0; index < count; index += 1) {
      const nodeId = `sim-${String(index).padStart(4, "0")}`;
      await admitNode(store, nodeId, signal);
      nodes.push({ nodeId, identity: await identities.nodeIdentity(nodeId) });
    }
    return nodes;
  } finally {
    store.close();
  }
}

/** A simulated host whose agent runs. */
export interface SimHost {
  readonly nodeId: string;
  readonly agent: SimAgent;
  readonly power: AbortController;
}

/**
 * An address at which no kernel answers probes: the broadcast address of the loopback device. The agent that is ended
 * has it from the start, like a host behind a firewall. Its node is therefore down only after five seconds of silence.
 */
const SILENT_ADDRESS = "127.255.255.255";

/** Returns the address of a simulated host: its own loopback address, at which this machine's kernel answers probes. */
function loopbackAddress(index: number): string {
  return `127.1.${Math.floor(index / 256)}.${index % 256}`;
}

export interface StartAgentsOptions {
  /** Time from the assignment until a simulated host reports a task as running. */
  readonly startMs: number;
  /** Addresses of the servers. */
  readonly addresses: readonly string[];
  readonly nodes: readonly AdmittedNode[];
  readonly counters: AgentCounters;
  /** Stops all agents when aborted. */
  readonly hosts: AbortSignal;
}

/** Starts the agents of simulated hosts. */
export function startAgents(options: StartAgentsOptions): readonly SimHost[] {
  const { startMs, addresses, nodes, counters, hosts } = options;
  return nodes.map(({ nodeId, identity }, index) => {
    const power = new AbortController();
    const address = index === 0 ? SILENT_ADDRESS : loopbackAddress(index);
    const agent = new SimAgent({
      nodeId,
      identity,
      address,
      servers: addresses,
      startMs,
      observer: counters,
    });
    void agent.run(AbortSignal.any([hosts, power.signal]));
    return { nodeId, agent, power };
  });
}

/** Returns services with the same spec. */
export function buildServices({
  services: count,
  replicas,
}: {
  readonly services: number;
  readonly replicas: number;
}): ServiceSpec[] {
  return Array.from({ length: count }, (_, index) => {
    const spec = ServiceSpec.fromPartial({
      name: `scale_s${index}`,
      stack: "scale",
      task: {
        container: { image: "web:1", env: ["A=1", "B=2"] },
        reservations: { nanoCpus: 1e8, memoryBytes: 2 ** 26 },
      },
    });
    return { ...spec, mode: { $case: "replicated", value: { replicas } } };
  });
}
