import { type ListenerTraffic, type Node, NodeState, type TrafficReport } from "@berth/proto";
import { nodeName } from "../core/model/node-name.js";
import type { TrafficCollector } from "../dispatcher/relays/traffic-collector.js";
import type { ClusterState } from "../state/cluster-state.js";
import { formatLabels, MetricText } from "./metric-text.js";

/** Maximum number of hosts. In larger clusters, Prometheus must scrape the hosts directly (`berth agent --metrics`). */
const MAX_HOSTS = 250;

/** Timeout for all agents together. A single agent responds within a second. */
const COLLECT_TIMEOUT_MS = 3_000;

/** Maximum number of listeners in one scrape, counted on each host. Each listener takes five lines. */
const MAX_LISTENERS = 10_000;

const COUNTERS: readonly {
  readonly name: string;
  readonly help: string;
  readonly read: (listener: ListenerTraffic) => number;
}[] = [
  {
    name: "berth_service_connections_total",
    help: "TCP connections and UDP flows to a service's published port or virtual IP",
    read: ({ connections }) => connections,
  },
  {
    name: "berth_service_failures_total",
    help: "Connections that no task accepted",
    read: ({ failed }) => failed,
  },
  {
    name: "berth_service_retries_total",
    help: "Connection attempts that were retried with another task",
    read: ({ retried }) => retried,
  },
  {
    name: "berth_service_ejections_total",
    help: "Times that a task was ejected because it failed or its host was suspect",
    read: ({ ejections }) => ejections,
  },
];

export interface HostTraffic {
  /** Unique label of the host. */
  readonly hostname: string;
  /** Report of the host. Undefined if the host did not respond in time. */
  readonly report: TrafficReport | undefined;
}

/** The traffic counters of all hosts at one moment. */
export interface TrafficSurvey {
  /** Version of the leader's traffic tables. */
  readonly tableVersion: number;
  readonly hosts: readonly HostTraffic[];
  /** Number of hosts that were skipped because the cluster is too large. */
  readonly skipped: number;
}

export interface TrafficSurveyOptions {
  readonly state: Pick<ClusterState, "nodes">;
  readonly trafficCollector: Pick<TrafficCollector, "collect">;
  readonly tableVersion: number;
}

/** Collects the traffic counters of all services from the hosts that are up. */
export async function surveyTraffic({
  state,
  trafficCollector,
  tableVersion,
}: TrafficSurveyOptions): Promise<TrafficSurvey> {
  const nodes = [...state.nodes.values()].filter((node) => node.state === NodeState.READY);
  const queried = nodes.length > MAX_HOSTS ? [] : nodes;
  const ids = queried.map(({ id }) => id);
  const reports = await trafficCollector.collect("", ids, AbortSignal.timeout(COLLECT_TIMEOUT_MS));
  const hostnames = uniqueHostnames(queried);
  const hosts = queried.map(({ id }) => ({ hostname: hostnames.get(id) ?? id, report: reports.get(id) }));
  return { tableVersion, hosts, skipped: nodes.length - queried.length };
}

/** Returns a unique hostname by node ID: Prometheus drops the second of two series with the same labels. */
function uniqueHostnames(nodes: readonly Node[]): ReadonlyMap<string, string> {
  const counts = new Map<string, number>();
  for (const node of nodes) counts.set(nodeName(node), (counts.get(nodeName(node)) ?? 0) + 1);
  return new Map(
    nodes.map((node) => {
      const hostname = nodeName(node);
      return [node.id, counts.get(hostname) === 1 ? hostname : `${hostname} (${node.id})`];
    }),
  );
}

/**
 * Formats the traffic counters of all hosts in Prometheus's text format. Each host has its own series, which restarts
 * with the host's ingress process: Prometheus can sum over hosts and handles the resets.
 */
export function formatTrafficMetrics({ tableVersion, hosts, skipped }: TrafficSurvey): string {
  const version = new MetricText("berth_table_version", "gauge", "Version of the leader's traffic tables");
  version.addSample("", tableVersion);
  const hostVersion = new MetricText(
    "berth_node_table_version",
    "gauge",
    "Version of the traffic table in use on a host; each host counts its own",
  );
  const results = new MetricText("berth_traffic_nodes", "gauge", "Hosts by result of the last collection");
  const open = new MetricText("berth_service_connections_open", "gauge", "Open connections");
  const counters = COUNTERS.map(({ name, help, read }) => ({
    metric: new MetricText(name, "counter", help),
    read,
  }));
  let remainingListeners = MAX_LISTENERS;
  const hostCounts = { ok: 0, partial: 0, timeout: 0, skipped };
  for (const { hostname, report } of hosts) {
    const result = collectionResult(report, remainingListeners);
    hostCounts[result] += 1;
    if (report === undefined || result === "timeout" || result === "skipped") continue;
    remainingListeners -= report.listeners.length;
    hostVersion.addSample(formatLabels({ node: hostname }), report.tableVersion);
    for (const listener of report.listeners) {
      const { stack, serviceName: service, port, network } = listener;
      const labels = formatLabels({ stack, service, port, network, node: hostname });
      for (const { metric, read } of counters) metric.addSample(labels, read(listener));
      if (port !== "") open.addSample(labels, listener.active);
    }
  }
  for (const [result, count] of Object.entries(hostCounts)) {
    results.addSample(formatLabels({ result }), count);
  }
  const metrics = [version, hostVersion, results, ...counters.map(({ metric }) => metric), open];
  return metrics.map((metric) => metric.render()).join("");
}

/** @param remainingListeners number of listeners that still fit into the scrape */
function collectionResult(
  report: TrafficReport | undefined,
  remainingListeners: number,
): "ok" | "partial" | "timeout" | "skipped" {
  // An agent of an older release ignores the empty service name and sends an empty report.
  if (report === undefined || report.tableVersion === 0) return "timeout";
  if (report.listeners.length > remainingListeners) return "skipped";
  return report.partial ? "partial" : "ok";
}
