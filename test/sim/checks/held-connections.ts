import { assertNever, type Service, TaskState } from "@berth/proto";
import { DEFAULT_HOLD_MS } from "../../../packages/control-plane/src/core/endpoints/hold-duration.js";
import { shouldRun } from "../../../packages/control-plane/src/core/model/task-state.js";
import type { SimHost } from "../cluster/sim-host.js";
import type { ClientConnection, ConnectionOutcome } from "../cluster/sim-ingress.js";
import type { CheckContext } from "./check-context.js";
import { stateOf } from "./records.js";
import { replicasOf } from "./task-counts.js";

/** Maximum time until all hosts have the tables for a change of the records. */
const TABLES_MS = 3_000;
/** A client that is served later has waited. */
const HELD_MS = 50;
/** Time to try all endpoints of a service, of which some may not answer. */
const ATTEMPTS_MS = 1_000;
/** Deadlines are checked at an interval. */
const DEADLINE_MS = 100;

/** H1 to H4: connections to a published port wait while its service has no endpoint, and only then. */
export class HeldConnections {
  readonly #context: CheckContext;
  /** When each service was last without a task that clients can wait for, by full name. */
  readonly #unexpectedAtMs = new Map<string, number>();
  /** Since when each service has been scaled to zero, by full name. */
  readonly #refusingSinceMs = new Map<string, number>();
  /** Since when a port has an endpoint that accepts connections, by host and port. */
  readonly #reachableSinceMs = new Map<string, number>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  onCommit(): void {
    for (const service of this.#context.records.services.values()) this.#noteState(service);
  }

  /** Checks the connections that wait. Called at an interval. */
  check(): void {
    this.onCommit();
    for (const host of this.#context.cluster.hosts) {
      this.#noteReachable(host);
      for (const connection of host.ingress?.pending ?? []) this.#checkPending(connection);
    }
  }

  onOutcome(connection: ClientConnection, outcome: ConnectionOutcome): void {
    switch (outcome) {
      case "refused":
        this.#checkRefused(connection);
        break;
      case "served":
        this.#checkOrder(connection);
        break;
      case "lost":
        break;
      default:
        assertNever(outcome);
    }
  }

  /** H1: a client whose service should have tasks is not refused before its hold is over. */
  #checkRefused(connection: ClientConnection): void {
    const { service, host, atMs } = connection;
    const { records, conditions, report } = this.#context;
    const waitedMs = this.#nowMs - atMs;
    if (waitedMs >= DEFAULT_HOLD_MS || records.serviceNamed(service) === undefined) return;
    const unexpectedAtMs = this.#unexpectedAtMs.get(service) ?? 0;
    if (unexpectedAtMs > atMs - TABLES_MS || !conditions.isHealthy(host)) return;
    report("H1", `${describe(connection)} is refused after ${Math.round(waitedMs)} ms`);
  }

  /** H3: clients that have waited are served in order of arrival. A new client may find an endpoint before them. */
  #checkOrder(connection: ClientConnection): void {
    const { cluster, report } = this.#context;
    if (this.#nowMs - connection.atMs < HELD_MS) return;
    const host = cluster.hosts.find(({ name }) => name === connection.host);
    const first = host?.ingress?.pending.find(({ port }) => port === connection.port);
    if (host === undefined || first === undefined || first.number > connection.number) return;
    // The first client may be trying an endpoint that does not accept its connection.
    const endpoints = endpointsOf(host, connection.port);
    if (!endpoints.every((taskId) => host.accepts(taskId)) || !this.#areHostsHealthy()) return;
    report("H3", `${describe(connection)} is served before ${describe(first)}`);
  }

  /** H2: clients do not wait for a service that is to have no tasks. H4: they do not wait longer than they have to. */
  #checkPending(connection: ClientConnection): void {
    const { conditions, report } = this.#context;
    const { service, host, port, atMs } = connection;
    const waitedMs = this.#nowMs - atMs;
    if (waitedMs > DEFAULT_HOLD_MS + DEADLINE_MS)
      report("H4", `${describe(connection)} waits for ${Math.round(waitedMs)} ms`);
    if (waitedMs <= ATTEMPTS_MS) return;
    const refusingSinceMs = this.#refusingSinceMs.get(service) ?? this.#nowMs;
    const refusingForMs = Math.min(this.#nowMs - refusingSinceMs, conditions.reportingForMs(host));
    if (refusingForMs > TABLES_MS)
      report("H2", `${describe(connection)} waits although the service is to have no tasks`);
    const reachableSinceMs = this.#reachableSinceMs.get(`${host} ${port}`) ?? this.#nowMs;
    if (this.#nowMs - reachableSinceMs > ATTEMPTS_MS && this.#areHostsHealthy())
      report("H4", `${describe(connection)} waits although a task accepts connections`);
  }

  #noteState(service: Service): void {
    const name = service.spec?.name ?? "";
    const tasks = this.#context.records.tasksOf(service.id).filter(shouldRun);
    const isScaledToZero = service.spec?.mode?.$case === "replicated" && replicasOf(service) === 0;
    const isUnplaced = tasks.every((task) => stateOf(task) === TaskState.NEW);
    if (service.removing || isScaledToZero || isUnplaced) this.#unexpectedAtMs.set(name, this.#nowMs);
    if (service.removing || !isScaledToZero) this.#refusingSinceMs.delete(name);
    else if (!this.#refusingSinceMs.has(name)) this.#refusingSinceMs.set(name, this.#nowMs);
  }

  #noteReachable(host: SimHost): void {
    for (const { port } of host.table?.listeners ?? []) {
      const key = `${host.name} ${port}`;
      if (!endpointsOf(host, port).some((taskId) => host.accepts(taskId))) this.#reachableSinceMs.delete(key);
      else if (!this.#reachableSinceMs.has(key)) this.#reachableSinceMs.set(key, this.#nowMs);
    }
  }

  #areHostsHealthy(): boolean {
    const { cluster, conditions } = this.#context;
    return cluster.hosts.every(({ name }) => conditions.isHealthy(name));
  }

  get #nowMs(): number {
    return this.#context.cluster.world.scheduler.nowMs;
  }
}

/** Returns the IDs of the tasks to which a host sends the new connections of a port. */
function endpointsOf({ table }: SimHost, port: number): readonly string[] {
  const listener = table?.listeners.find((each) => each.port === port);
  return listener?.endpoints.map(({ id }) => id) ?? [];
}

function describe({ number, service, host }: ClientConnection): string {
  return `connection ${number} to ${service} on ${host}`;
}
