import { NodeState, TaskState } from "@berth/proto";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { ClusterState } from "../state/cluster-state.js";
import { formatTrafficMetrics, type TrafficSurvey } from "./traffic-metrics.js";

const SECOND_MS = 1_000;

/** Zero value of every enum in the .proto files. No record has this value. */
const UNSPECIFIED_STATE = 0;

/** Histogram buckets, from a service without changes to the plan of the largest service. */
const RECONCILE_BUCKETS_SECONDS = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1];

/** The leader's values that each scrape reads. */
export interface LeaderMetrics {
  readonly state: Pick<ClusterState, "services" | "tasks" | "nodes">;
  sessionCount(): number;
  workQueueDepth(): number;
  writeQueueDepth(): number;
  eventLoopLagMs(): number;
  /** Collects the traffic counters of all hosts; takes up to a second. */
  surveyTraffic(): Promise<TrafficSurvey>;
}

/** The Prometheus metrics of a server (/metrics). Gauges are read from the leader at each scrape; a follower reports 0. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #reconcileDuration = new Histogram({
    name: "berth_reconcile_duration_seconds",
    help: "Time to plan the changes for one service",
    buckets: RECONCILE_BUCKETS_SECONDS,
    registers: [this.#registry],
  });
  readonly #transactions = new Counter({
    name: "berth_store_transactions_total",
    help: "Transactions sent to etcd, by outcome",
    labelNames: ["outcome"],
    registers: [this.#registry],
  });
  readonly #transactionsByOutcome = {
    committed: this.#transactions.labels("committed"),
    refused: this.#transactions.labels("refused"),
    unknown: this.#transactions.labels("unknown"),
  };
  readonly #changes = new Counter({
    name: "berth_store_changes_total",
    help: "Records written or deleted in committed transactions",
    registers: [this.#registry],
  });
  readonly #lateHeartbeats = new Counter({
    name: "berth_heartbeats_late_total",
    help: "Heartbeats that arrived more than two intervals after the previous one",
    registers: [this.#registry],
  });
  readonly #suspicions = new Counter({
    name: "berth_node_suspicions_total",
    help: "Times that a node became suspect and lost its new connections",
    registers: [this.#registry],
  });

  readonly #leaderMetrics: () => LeaderMetrics | undefined;
  #trafficScrape: Promise<string> | undefined;

  /** @param leaderMetrics returns undefined while this server is not the leader */
  constructor(leaderMetrics: () => LeaderMetrics | undefined) {
    this.#leaderMetrics = leaderMetrics;
    this.#addGauge("berth_leader", "1 while this server is the leader", () => 1);
    this.#addGauge("berth_services", "Services", ({ state }) => state.services.size);
    this.#addGauge("berth_sessions", "Connected agents", (leader) => leader.sessionCount());
    this.#addGauge("berth_work_queue_depth", "Services waiting to be reconciled", (leader) =>
      leader.workQueueDepth(),
    );
    this.#addGauge("berth_write_queue_depth", "Decisions waiting to be written", (leader) =>
      leader.writeQueueDepth(),
    );
    this.#addGauge(
      "berth_event_loop_lag_seconds",
      "Worst event loop lag of the last seconds",
      (leader) => leader.eventLoopLagMs() / SECOND_MS,
    );
    this.#addStateGauge("berth_nodes", "Nodes by state", NodeState, () => countNodes(leaderMetrics()));
    this.#addStateGauge("berth_tasks", "Tasks by state", TaskState, () => countTasks(leaderMetrics()));
  }

  onTransaction(outcome: "committed" | "refused" | "unknown", changes: number): void {
    this.#transactionsByOutcome[outcome].inc();
    if (outcome === "committed") this.#changes.inc(changes);
  }

  onReconciled(durationMs: number): void {
    this.#reconcileDuration.observe(durationMs / SECOND_MS);
  }

  onLateHeartbeat(): void {
    this.#lateHeartbeats.inc();
  }

  onSuspect(): void {
    this.#suspicions.inc();
  }

  /** Returns all metrics in Prometheus's text format. On the leader, collecting traffic counters takes up to a second. */
  async render(): Promise<string> {
    const [serverText, trafficText] = await Promise.all([this.#registry.metrics(), this.#scrapeTraffic()]);
    return `${serverText}${trafficText}`;
  }

  /** Returns the traffic metrics. Concurrent scrapes share one survey. */
  #scrapeTraffic(): Promise<string> {
    const leader = this.#leaderMetrics();
    if (leader === undefined) return Promise.resolve("");
    this.#trafficScrape ??= leader
      .surveyTraffic()
      .then(formatTrafficMetrics)
      .finally(() => {
        this.#trafficScrape = undefined;
      });
    return this.#trafficScrape;
  }

  #addGauge(name: string, help: string, read: (leader: LeaderMetrics) => number): void {
    const leaderMetrics = this.#leaderMetrics;
    new Gauge({
      name,
      help,
      registers: [this.#registry],
      collect() {
        const leader = leaderMetrics();
        this.set(leader === undefined ? 0 : read(leader));
      },
    });
  }

  #addStateGauge(
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
        for (const [stateName, state] of Object.entries(states)) {
          if (state === UNSPECIFIED_STATE) continue;
          this.set({ state: stateName.toLowerCase() }, counts.get(state) ?? 0);
        }
      },
    });
  }
}

function countTasks(leader: LeaderMetrics | undefined): ReadonlyMap<number, number> {
  return leader?.state.tasks.countByState() ?? new Map();
}

function countNodes(leader: LeaderMetrics | undefined): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  for (const { state } of leader?.state.nodes.values() ?? []) counts.set(state, (counts.get(state) ?? 0) + 1);
  return counts;
}
