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

export interface NetworkDecision {
  readonly changes: readonly Change[];
  readonly outcomes: readonly NetworkOutcome[];
  readonly violations: readonly ServiceViolation[];
  /** Networks as they will be, by name. */
  readonly byName: ReadonlyMap<string, Network>;
}

export interface NetworkSources {
  readonly state: ClusterState;
  readonly pool: NetworkPool;
  readonly now: number;
  readonly newId: () => string;
  /** From 0 up to 1, anew at each call. */
  readonly random: () => number;
}

/** What making networks what their specs say changes; those that have subnets of their own choose first. */
export function decideNetworks(specs: readonly NetworkSpec[], sources: NetworkSources): NetworkDecision {
  const { state, pool, now, newId, random } = sources;
  const violations = specs.flatMap((spec) =>
    validateNetworkSpec(spec).map((violation) => ({ service: `network ${spec.name}`, ...violation })),
  );
  const known = new Map([...state.networks.values()].map((network) => [network.id, network]));
  const nodes = [...state.nodes.values()];
  const byName = new Map<string, Network>();
  const kinds = new Map<string, Kind>();
  for (const spec of fixedFirst(specs)) {
    const existing = state.networks.byName(spec.name);
    const others = [...known.values()].filter(({ id }) => id !== existing?.id);
    const id = existing?.id ?? newId();
    const outcome = applyNetwork(existing, spec, { id, now, pool, others, nodes, random });
    if (outcome.kind === "refused") {
      violations.push({ service: `network ${spec.name}`, ...outcome.violation });
      continue;
    }
    known.set(outcome.network.id, outcome.network);
    byName.set(spec.name, outcome.network);
    kinds.set(spec.name, KINDS[outcome.kind]);
  }
  const outcomes = [...byName.values()].map((network) => outcomeOf(network, kinds.get(nameOf(network))));
  const isWritten = ({ name, kind }: NetworkOutcome): readonly Change[] => {
    const network = byName.get(name);
    return network === undefined || kind === Kind.UNCHANGED ? [] : [{ kind: "put-network", network }];
  };
  return { changes: outcomes.flatMap(isWritten), outcomes, violations, byName };
}

/** Networks that go with a stack: not those that services of others have joined. */
export function leavingNetworks(stack: string, state: ClusterState): readonly Network[] {
  return [...state.networks.ofStack(stack).values()].filter(({ spec }) => {
    const users = [...state.services.ofNetwork(spec?.name ?? "").values()];
    return users.every((user) => user.removing || user.spec?.stack === stack);
  });
}

/** Marks networks to go once nothing uses them. */
export function removeNetworks(networks: Iterable<Network>): Pick<NetworkDecision, "changes" | "outcomes"> {
  const all = [...networks];
  const fresh = all.filter(({ removing }) => !removing);
  return {
    changes: fresh.map((network) => ({ kind: "put-network", network: { ...network, removing: true } })),
    outcomes: all.map((network) => outcomeOf(network, Kind.REMOVED)),
  };
}

const KINDS = { created: Kind.CREATED, updated: Kind.UPDATED, unchanged: Kind.UNCHANGED } as const;

function outcomeOf(network: Network, kind: Kind = Kind.UNSPECIFIED): NetworkOutcome {
  return { networkId: network.id, name: nameOf(network), kind };
}

export const nameOf = (network: Network): string => network.spec?.name ?? network.id;

function fixedFirst(specs: readonly NetworkSpec[]): readonly NetworkSpec[] {
  return [...specs].sort((a, b) => Number(b.subnet !== "") - Number(a.subnet !== ""));
}
