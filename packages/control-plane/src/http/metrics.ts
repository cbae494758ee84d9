import { NodeState, TaskState } from "@berth/proto";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { LeaderObserver, Leadership } from "../server/leader.js";
import { surveyTraffic, trafficMetrics } from "./traffic-metrics.js";

const SECOND_MS = 1_000;

/** From an idle look at a small service to a plan for the largest. */
const RECONCILE_BUCKETS_SECONDS = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1];

/** All metrics of a server. What is counted anyway is read when somebody asks. */
export class Metrics implements LeaderObserver {
  readonly #registry = new Registry();
  readonly #reconciled = new Histogram({
    name: "berth_reconcile_duration_seconds",
    help: "Time to decide what one service needs",
    buckets: RECONCILE_BUCKETS_SECONDS,
    registers: [this.#registry],
  });
  readonly #transactions = new Counter({
    name: "berth_store_transactions_total",
    help: "Transactions sent to etcd, by outcome",
    labelNames: ["outcome"],
    registers: [this.#registry],
  });
  readonly #byOutcome = {
    committed: this.#transactions.labels("committed"),
    refused: this.#transactions.labels("refused"),
    unknown: this.#transactions.labels("unknown"),
  };
  readonly #written = new Counter({
    name: "berth_store_changes_total",
    help: "Records written or deleted in committed transactions",
    registers: [this.#registry],
  });
  readonly #lateBeats = new Counter({
    name: "berth_heartbeats_late_total",
    help: "Times that an agent was heard again after more than two heartbeat intervals of silence",
    registers: [this.#registry],
  });
  readonly #suspicions = new Counter({
    name: "berth_node_suspicions_total",
    help: "Times that a node was so silent that it got no new connections for a while",
    registers: [this.#registry],
  });

  readonly #leadership: () => Leadership | undefined;
  #traffic: Promise<string> | undefined;

  constructor(leadership: () => Leadership | undefined) {
    this.#leadership = leadership;
    const gauge = (name: string, help: string, read: (leading: Leadership) => number): void => {
      new Gauge({
        name,
        help,
        registers: [this.#registry],
        collect() {
          const leading = leadership();
          this.set(leading === undefined ? 0 : read(leading));
        },
      });
    };
    gauge("berth_leader", "1 while this server leads", () => 1);
    gauge("berth_services", "Services", ({ state }) => state.services.size);
    gauge("berth_sessions", "Agents connected", ({ dispatcher }) => dispatcher.sessionCount);
    gauge(
      "berth_work_queue_depth",
      "Services that wait to be looked at",
      ({ controller }) => controller.depth,
    );
    gauge("berth_write_queue_depth", "Decisions that wait to be written", ({ writer }) => writer.depth);
    gauge("berth_event_loop_lag_seconds", "Worst of the last seconds", ({ lag }) => lag.lagMs() / SECOND_MS);
    this.#stateGauge("berth_nodes", "Nodes by state", NodeState, () => countNodes(leadership()));
    this.#stateGauge("berth_tasks", "Tasks by state", TaskState, () => countTasks(leadership()));
  }

  onTransaction(outcome: "committed" | "refused" | "unknown", changes: number): void {
    this.#byOutcome[outcome].inc();
    if (outcome === "committed") this.#written.inc(changes);
  }

  onReconciled(durationMs: number): void {
    this.#reconciled.observe(durationMs / SECOND_MS);
  }

  onLateHeartbeat(): void {
    this.#lateBeats.inc();
  }

  onSuspect(): void {
    this.#suspicions.inc();
  }

  /** In Prometheus's text format. The leader asks its hosts for what they have counted, which takes a second at most. */
  async text(): Promise<string> {
    const [own, traffic] = await Promise.all([this.#registry.metrics(), this.#ofTraffic()]);
    return `${own}${traffic}`;
  }

  /** However many ask at a time, the hosts are asked once. */
  #ofTraffic(): Promise<string> {
    const leading = this.#leadership();
    if (leading === undefined) return Promise.resolve("");
    this.#traffic ??= surveyTraffic(leading)
      .then(trafficMetrics)
      .finally(() => {
        this.#traffic = undefined;
      });
    return this.#traffic;
  }

  #stateGauge(
    name: string,
    help: string,
    states: Readonly<Record<string, number>>,
    count: () => ReadonlyMap<number, number>,
  ): void {
    new Gauge({
      name,
      help,
      labelNames: ["state"],
      registers: [this.#registry],
      collect() {
        const counts = count();
        for (const [state, number] of Object.entries(states)) {
          if (number !== 0) this.set({ state: state.toLowerCase() }, counts.get(number) ?? 0);
        }
      },
    });
  }
}

function countTasks(leading: Leadership | undefined): ReadonlyMap<number, number> {
  return leading?.state.tasks.countByState() ?? new Map();
}

function countNodes(leading: Leadership | undefined): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  for (const { state } of leading?.state.nodes.values() ?? [])
    counts.set(state, (counts.get(state) ?? 0) + 1);
  return counts;
}
