import { type CheckContext, runningContainers } from "./check-context.js";

/** A table is at every host within this after an endpoint is gone: the report, the write, the way to the agents. */
const STALE_MS = 3_000;

/** I9, as far as tables go: new connections are sent to nobody who is gone. */
export class Ingress {
  readonly #context: CheckContext;
  readonly #goneSinceMs = new Map<string, number>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  check(): void {
    const { cluster, conditions: contact, report } = this.#context;
    const { nowMs } = cluster.world.scheduler;
    const running = new Set(runningContainers(this.#context).map(({ container }) => container.taskId));
    const isAnyExcused = cluster.hosts.some(({ name }) => contact.isDisrupted(name));
    // Nothing becomes known while etcd stands still.
    const toldForMs = Math.min(...cluster.hosts.map(({ name }) => contact.reportingForMs(name)));
    const gone = new Set<string>();
    for (const host of cluster.hosts) {
      for (const { endpoints, service } of [...(host.table?.listeners ?? []), ...host.names.services]) {
        for (const { id } of endpoints) {
          if (running.has(id) || isAnyExcused) continue;
          const key = `${host.name} sends connections for ${service} to task ${id}`;
          gone.add(key);
          const sinceMs = this.#goneSinceMs.get(key) ?? nowMs;
          this.#goneSinceMs.set(key, sinceMs);
          if (Math.min(nowMs - sinceMs, toldForMs) > STALE_MS) report("I9", `${key}, which is gone`);
        }
      }
    }
    for (const key of this.#goneSinceMs.keys()) if (!gone.has(key)) this.#goneSinceMs.delete(key);
  }
}
