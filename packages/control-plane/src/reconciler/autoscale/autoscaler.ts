import {
  type AutoscaleStatus,
  type MeasureUsage,
  NodeState,
  type Service,
  type UsageReport,
} from "@berth/proto";
import type { Logger } from "pino";
import { isReady, shouldRun } from "../../core/model/task-state.js";
import { decideScale, type Recommendation, startsOnConnection } from "../../core/orchestrator/autoscale.js";
import { replicasOf } from "../../core/orchestrator/desired-slots.js";
import { onAbort } from "../../runtime/abort.js";
import { sleep } from "../../runtime/clock.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { Delta } from "../../state/delta.js";
import type { Writer } from "../writer.js";
import { UsageSamples } from "./usage-samples.js";

/** Interval of the agents' usage reports and of the scaling decisions. */
const INTERVAL_MS = 5_000;

export interface AutoscalerOptions {
  readonly state: ClusterState;
  readonly writer: Pick<Writer, "submit">;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** Called when the agents must measure different services or values. */
  readonly onUsageRequest: (request: MeasureUsage) => void;
  readonly signal: AbortSignal;
}

/**
 * Scales the services with an autoscale policy by the usage that agents report.
 *
 * Agents measure nothing while no service has a policy. The history is kept in memory only: a new leader starts from the
 * current number of replicas.
 */
export class Autoscaler {
  readonly #options: AutoscalerOptions;
  readonly #samples: UsageSamples;
  readonly #history = new Map<string, readonly Recommendation[]>();
  /** IDs of the services whose scale-up from zero is being written. */
  readonly #starting = new Set<string>();
  #usageRequest: MeasureUsage;

  constructor(options: AutoscalerOptions) {
    const { state, runtime, signal } = options;
    this.#options = options;
    this.#samples = new UsageSamples({
      findTask: (taskId) => state.tasks.get(taskId),
      monotonicMs: () => runtime.clock.nowMs(),
    });
    this.#usageRequest = buildUsageRequest(state);
    onAbort(
      signal,
      state.onChange((delta) => this.#onChange(delta)),
    );
  }

  /** The current measurement request to agents. Undefined if no service is autoscaled. */
  get usageRequest(): MeasureUsage | undefined {
    return this.#usageRequest.services.length === 0 ? undefined : this.#usageRequest;
  }

  /** Records a report of a node's agent. */
  recordUsage(nodeId: string, report: UsageReport): void {
    if (this.#usageRequest.services.length > 0) this.#samples.recordReport(nodeId, report);
  }

  /** Starts the first replica of a service that was scaled to zero. Called when a client waits for it. */
  onClientsWaiting({ id }: Service): void {
    const service = this.#options.state.services.get(id);
    if (service?.spec === undefined || !this.#isScaledToZero(service) || this.#starting.has(id)) return;
    const { logger, runtime, signal } = this.#options;
    const nowMs = runtime.wallClockMs();
    this.#history.set(id, [{ atMs: nowMs, replicas: 1 }]);
    this.#starting.add(id);
    const status = { replicas: 1, changedAtMs: nowMs, message: "from 0 to 1: a client has connected" };
    void this.#write(service, status, signal)
      .catch((error: unknown) => {
        if (!signal.aborted) logger.warn({ err: error, service: id }, "failed to scale service");
      })
      .finally(() => this.#starting.delete(id));
  }

  /** Makes scaling decisions at a fixed interval until `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { state, runtime, logger } = this.#options;
    while (!signal.aborted) {
      await sleep(runtime.clock, INTERVAL_MS, signal);
      for (const service of state.services.autoscaledServices()) {
        await this.#scale(service, signal).catch((error: unknown) => {
          if (!signal.aborted) logger.warn({ err: error, service: service.id }, "failed to scale service");
        });
      }
      this.#samples.sweep();
    }
  }

  #isScaledToZero({ spec, autoscale, removing }: Service): boolean {
    return spec !== undefined && !removing && startsOnConnection(spec) && replicasOf(spec, autoscale) === 0;
  }

  async #scale(service: Service, signal: AbortSignal): Promise<void> {
    const status = this.#decide(service);
    if (status !== undefined) await this.#write(service, status, signal);
  }

  async #write(service: Service, status: AutoscaleStatus, signal: AbortSignal): Promise<void> {
    const { writer, logger } = this.#options;
    const isWritten = await writer.submit((state) => {
      const latest = state.services.get(service.id);
      // The service was changed meanwhile. The next interval decides again.
      if (latest !== service) return { changes: [], result: false };
      return { changes: [{ kind: "put-service", service: { ...latest, autoscale: status } }], result: true };
    }, signal);
    if (isWritten) logger.info({ service: service.spec?.name }, `scaled ${status.message}`);
  }

  /**
   * Decides on the number of replicas and records the decision in the history. Returns undefined if nothing changes.
   */
  #decide(service: Service): AutoscaleStatus | undefined {
    const { state, runtime } = this.#options;
    const { spec, id } = service;
    if (spec?.autoscale === undefined || service.removing) return undefined;
    const nowMs = runtime.wallClockMs();
    const current = replicasOf(spec, service.autoscale);
    const tasks = [...state.tasks.ofService(id).values()].filter((task) => shouldRun(task) && isReady(task));
    const nanoCpus = spec.task?.reservations?.nanoCpus ?? 0;
    const usage = this.#samples.usageOf(tasks, {
      serviceId: id,
      cpuShare: nanoCpus === 0 ? 1 : nanoCpus / 1e9,
      nodeIds: readyNodes(state),
      wallClockMs: nowMs,
    });
    const history = this.#history.get(id) ?? [{ atMs: nowMs, replicas: current }];
    const decision = decideScale({ spec: spec.autoscale, current, usage, history, nowMs });
    this.#history.set(id, decision.history);
    return decision.status;
  }

  #onChange({ services }: Delta): void {
    const { state, onUsageRequest } = this.#options;
    const measured = new Set(this.#usageRequest.services.map(({ serviceId }) => serviceId));
    const isAffected = [...services].some((id) => measured.has(id) || state.services.isAutoscaled(id));
    if (!isAffected) return;
    for (const id of services) {
      if (!state.services.isAutoscaled(id)) this.#history.delete(id);
    }
    // The services are sorted, so equal requests have equal JSON.
    const next = buildUsageRequest(state);
    if (JSON.stringify(next) === JSON.stringify(this.#usageRequest)) return;
    this.#usageRequest = next;
    onUsageRequest(next);
  }
}

function buildUsageRequest(state: ClusterState): MeasureUsage {
  const services = [...state.services.autoscaledServices()].map(({ id, spec }) => {
    const { targetCpuPercent = 0, targetConnections = 0, min = 1 } = spec?.autoscale ?? {};
    return {
      serviceId: id,
      serviceName: spec?.name ?? "",
      cpu: targetCpuPercent > 0,
      connections: targetConnections > 0 || min === 0,
      opened: min === 0,
    };
  });
  return { intervalMs: INTERVAL_MS, services: services.sort((a, b) => (a.serviceId < b.serviceId ? -1 : 1)) };
}

function* readyNodes(state: ClusterState): Generator<string> {
  for (const node of state.nodes.values()) {
    if (node.state === NodeState.READY) yield node.id;
  }
}
