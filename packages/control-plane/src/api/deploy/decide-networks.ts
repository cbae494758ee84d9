import {
  NetworkOutcome_Kind as Kind,
  type Network,
  type NetworkOutcome,
  type NetworkSpec,
  validateNetworkSpec,
} from "@berth/proto";
import type { NetworkPool } from "../../core/allocator/address-pool.js";
import { applyNetwork } from "../../core/allocator/apply-network.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ServiceViolation } from "./violations.js";

const OUTCOME_KINDS = { created: Kind.CREATED, updated: Kind.UPDATED, unchanged: Kind.UNCHANGED } as const;

export interface NetworkDecision {
  readonly changes: readonly Change[];
  readonly outcomes: readonly NetworkOutcome[];
  readonly violations: readonly ServiceViolation[];
  /** The networks after the change, by name. */
  readonly byName: ReadonlyMap<string, Network>;
}

export interface NetworkContext {
  readonly state: ClusterState;
  /** Address ranges from which new networks get their subnets. */
  readonly pool: NetworkPool;
  readonly nowMs: number;
  readonly newId: () => string;
  /** Returns a number in [0, 1). */
  readonly random: () => number;
}

/** Returns the changes that create and update networks. Networks with a fixed subnet are decided first. */
export function decideNetworks(specs: readonly NetworkSpec[], context: NetworkContext): NetworkDecision {
  const { state, pool, nowMs, newId, random } = context;
  const violations = specs.flatMap((spec) =>
    validateNetworkSpec(spec).map((violation) => ({ service: `network ${spec.name}`, ...violation })),
  );
  const networksById = new Map([...state.networks.values()].map((network) => [network.id, network]));
  const nodes = [...state.nodes.values()];
  const byName = new Map<string, Network>();
  const kinds = new Map<string, Kind>();
  for (const spec of fixedSubnetFirst(specs)) {
    const existing = state.networks.byName(spec.name);
    const others = [...networksById.values()].filter(({ id }) => id !== existing?.id);
    const id = existing?.id ?? newId();
    const outcome = applyNetwork(existing, spec, { id, nowMs, pool, others, nodes, random });
    if (outcome.kind === "refused") {
      violations.push({ service: `network ${spec.name}`, ...outcome.violation });
      continue;
    }
    networksById.set(outcome.network.id, outcome.network);
    byName.set(spec.name, outcome.network);
    kinds.set(spec.name, OUTCOME_KINDS[outcome.kind]);
  }
  const outcomes = [...byName.values()].map((network) =>
    networkOutcome(network, kinds.get(networkName(network))),
  );
  const changeFor = ({ name, kind }: NetworkOutcome): readonly Change[] => {
    const network = byName.get(name);
    return network === undefined || kind === Kind.UNCHANGED ? [] : [{ kind: "put-network", network }];
  };
  return { changes: outcomes.flatMap(changeFor), outcomes, violations, byName };
}

/** Returns the networks that are removed together with a stack: no service of another stack uses them. */
export function findNetworksRemovedWith(stack: string, state: ClusterState): readonly Network[] {
  return [...state.networks.ofStack(stack).values()].filter(({ spec }) => {
    const usingServices = [...state.services.ofNetwork(spec?.name ?? "").values()];
    return usingServices.every((service) => service.removing || service.spec?.stack === stack);
  });
}

/** Marks networks for removal. They are removed once no task uses them. */
export function decideNetworkRemoval(
  networks: Iterable<Network>,
): Pick<NetworkDecision, "changes" | "outcomes"> {
  const all = [...networks];
  const unmarked = all.filter(({ removing }) => !removing);
  return {
    changes: unmarked.map((network) => ({ kind: "put-network", network: { ...network, removing: true } })),
    outcomes: all.map((network) => networkOutcome(network, Kind.REMOVED)),
  };
}

function networkOutcome(network: Network, kind: Kind = Kind.UNSPECIFIED): NetworkOutcome {
  return { networkId: network.id, name: networkName(network), kind };
}

export function networkName(network: Network): string {
  return network.spec?.name ?? network.id;
}

function fixedSubnetFirst(specs: readonly NetworkSpec[]): readonly NetworkSpec[] {
  return [...specs].sort((a, b) => Number(b.subnet !== "") - Number(a.subnet !== ""));
}
