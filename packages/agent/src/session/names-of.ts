import type { AssignedNetwork, NameEndpoint, NameEntry, TaskStatus } from "@berth/proto";
import { TaskState, TrafficSpec_Affinity } from "@berth/proto";
import { bridgeName } from "../core/networks/devices.js";
import type { Asker, NamedEndpoint, NamesTable } from "../dns/names-table.js";

/** A task of this host, as far as its questions for names go. */
export interface AskingTask {
  readonly status: TaskStatus;
  /** Servers that its service wants asked. */
  readonly dns: readonly string[];
}

export interface NamesSources {
  /** Those that this host has a part of. */
  readonly networks: readonly AssignedNetwork[];
  readonly entries: readonly NameEntry[];
  readonly tasks: Iterable<AskingTask>;
}

/** What the leader says of names, in the words of the name server. */
export function namesOf({ networks, entries, tasks }: NamesSources): NamesTable {
  return {
    networks: networks.map(({ id, spec, subnet, gateway, vni }) => ({
      id,
      name: spec?.name ?? "",
      stack: spec?.stack ?? "",
      subnet,
      gateway,
      bridge: bridgeName(vni),
      ...(spec?.internal ? { isInternal: true } : {}),
    })),
    services: entries.map((entry) => ({
      key: entry.key,
      networkId: entry.networkId,
      service: entry.serviceName,
      stack: entry.stack,
      names: entry.names,
      vip: entry.vip,
      isBySource: entry.affinity === TrafficSpec_Affinity.SOURCE,
      endpoints: entry.endpoints.map(toEndpoint),
      draining: entry.draining.map(toEndpoint),
    })),
    askers: Array.from(tasks).flatMap(askersOf),
  };
}

/** One for each of its addresses: which one it asks from depends on whom it asks. */
function askersOf({ status: { state, addresses }, dns }: AskingTask): readonly Asker[] {
  if (state !== TaskState.RUNNING && state !== TaskState.STARTING) return [];
  const networkIds = addresses.map(({ networkId }) => networkId);
  return addresses.map(({ address }) => ({ address, networkIds, dns }));
}

function toEndpoint({ taskId, nodeId, address, slot }: NameEndpoint): NamedEndpoint {
  return { id: taskId, nodeId, address, slot };
}
