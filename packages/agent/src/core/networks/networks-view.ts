import type { AssignedNetwork } from "@berth/proto";
import type { NetworkState } from "./plan-network.js";

/** A network that spans hosts, as tasks of this host see it. */
export interface NetworkFacts {
  readonly id: string;
  /** The host's own address in it, where names are answered. */
  readonly gateway: string;
  /** Nothing gets out of it, nor in. */
  readonly isInternal: boolean;
  readonly state: NetworkState;
}

/** The networks that tasks of this host can be in. */
export interface NetworksView {
  /** By full name, which is Docker's name of it, too. */
  readonly byName: ReadonlyMap<string, NetworkFacts>;
}

export const NO_NETWORKS: NetworksView = { byName: new Map() };

/** Puts together what is assigned and how far it has come. */
export function networksView(
  networks: readonly AssignedNetwork[],
  states: ReadonlyMap<string, NetworkState>,
): NetworksView {
  const byName = new Map<string, NetworkFacts>();
  for (const { id, spec, gateway } of networks) {
    const state = states.get(id) ?? { kind: "waiting", reason: "it has not been looked at yet" };
    byName.set(spec?.name ?? "", { id, gateway, isInternal: spec?.internal ?? false, state });
  }
  return { byName };
}
