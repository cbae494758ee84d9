import { Availability } from "@berth/proto";
import type { SimHost } from "../cluster/sim-host.js";
import type { CheckContext } from "./check-context.js";
import type { RecordChange } from "./records.js";

/** Time within which the records contain a new volume: agents list volumes up to 3 s after a task has started. */
const KNOWN_MS = 7_000;

/** V1: a task with a volume is placed on the node that has the volume. */
export class VolumePlacement {
  readonly #context: CheckContext;

  constructor(context: CheckContext) {
    this.#context = context;
  }

  onChange({ tasks }: RecordChange): void {
    const { records, cluster, report } = this.#context;
    for (const { before, after } of tasks) {
      if (after === undefined || after.nodeId === "" || before?.nodeId === after.nodeId) continue;
      const target = cluster.hosts.find(({ nodeId }) => nodeId === after.nodeId);
      const spec = records.specOf(after.serviceId, after.specVersion);
      for (const { kind } of spec?.task?.container?.mounts ?? []) {
        if (kind?.$case !== "volume" || target?.docker.volumes.has(kind.value.name) !== false) continue;
        const home = cluster.hosts.find((host) => this.#isKnownHome(host, kind.value.name));
        if (home === undefined) continue;
        const what = `task ${after.id} (${after.serviceName}.${after.slot}) is placed on ${target.name}`;
        report("V1", `${what}, but its volume is on ${home.name}`);
      }
    }
  }

  #isKnownHome({ name, docker }: SimHost, volume: string): boolean {
    const { conditions: contact, cluster } = this.#context;
    const sinceMs = docker.volumes.get(volume);
    if (sinceMs === undefined) return false;
    return Math.min(cluster.world.scheduler.nowMs - sinceMs, contact.reportingForMs(name)) > KNOWN_MS;
  }
}

/** Returns the nodes that may run a task with these volumes, or undefined if any node may. */
export function nodesWithVolumes(
  context: CheckContext,
  volumes: readonly string[],
): ReadonlySet<string> | undefined {
  const { records } = context;
  let homes: Set<string> | undefined;
  for (const volume of volumes) {
    const having = [...records.nodes.values()].filter(({ description }) =>
      description?.volumes.includes(volume),
    );
    if (having.length === 0) continue;
    const ids = having.filter(({ availability }) => availability === Availability.ACTIVE).map(({ id }) => id);
    homes = new Set(ids.filter((id) => homes?.has(id) ?? true));
  }
  return homes;
}
