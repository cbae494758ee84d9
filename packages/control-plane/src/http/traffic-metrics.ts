import { type ListenerTraffic, type Node, NodeState, type TrafficReport } from "@berth/proto";
import type { TrafficCollector } from "../dispatcher/relays/traffic-collector.js";
import type { ClusterState } from "../state/cluster-state.js";

/** In larger clusters, Prometheus must scrape the hosts directly (`berth agent --metrics`). */
const MAX_HOSTS = 250;
/** Agents answer within a second. */
const COLLECT_TIMEOUT_MS = 3_000;

/** Limit of listeners in one scrape, counted on each host. Each listener takes five lines. */
const MAX_LISTENERS = 10_000;

export interface HostTraffic {
  /** Unique label of the host. */
  readonly hostname: string;
  /** Undefined when the host did not answer in time. */
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
  const counts = new Map<string, number>();
  for (const node of queried) counts.set(hostnameOf(node), (counts.get(hostnameOf(node)) ?? 0) + 1);
  const hosts = queried.map((node) => {
    const hostname = hostnameOf(node);
    // Prometheus drops the second of two series with the same labels.
    const isUnique = counts.get(hostname) === 1;
    return { hostname: isUnique ? hostname : `${hostname} (${node.id})`, report: reports.get(node.id) };
  });
  return { tableVersion, hosts, skipped: nodes.length - queried.length };
}

const hostnameOf = ({ id, description }: Node): string => description?.hostname || id;

const COUNTERS: readonly (readonly [string, string, (listener: ListenerTraffic) => number])[] = [
  [
    "connections_total",
    "TCP connections and UDP flows to a service's published port or virtual IP",
    ({ connections }) => connections,
  ],
  ["failures_total", "Connections that no task accepted", ({ failed }) => failed],
  ["retries_total", "Connection attempts that were retried with another task", ({ retried }) => retried],
  [
    "ejections_total",
    "Times that a task was ejected because it failed or its host was suspect",
    ({ ejections }) => ejections,
  ],
];

/**
 * Formats the traffic counters of all hosts in Prometheus's text format. Each host has its own series, which restarts
 * with the host's ingress process: Prometheus can sum over hosts and handles the resets.
 */
export function formatTrafficMetrics({ tableVersion, hosts, skipped }: TrafficSurvey): string {
  const version = new MetricText("berth_table_version", "gauge", "Version of the leader's traffic tables");
  version.add("", tableVersion);
  const hostVersion = new MetricText(
    "berth_node_table_version",
    "gauge",
    "Version of the traffic table in use on a host; each host counts its own",
  );
  const results = new MetricText("berth_traffic_nodes", "gauge", "Hosts by result of the last collection");
  const open = new MetricText("berth_service_connections_open", "gauge", "Open connections");
  const counters = COUNTERS.map(([name, help, read]) => ({
    metric: new MetricText(`berth_service_${name}`, "counter", help),
    read,
  }));
  let remainingListeners = MAX_LISTENERS;
  const count = { ok: 0, partial: 0, timeout: 0, skipped };
  for (const { hostname, report } of hosts) {
    const result = collectionResult(report, remainingListeners);
    count[result] += 1;
    if (report === undefined || result === "timeout" || result === "skipped") continue;
    remainingListeners -= report.listeners.length;
    hostVersion.add(formatLabels({ node: hostname }), report.tableVersion);
    for (const listener of report.listeners) {
      const { stack, serviceName: service, port, network } = listener;
      const labels = formatLabels({ stack, service, port, network, node: hostname });
      for (const { metric, read } of counters) metric.add(labels, read(listener));
      if (port !== "") open.add(labels, listener.active);
    }
  }
  for (const [result, hostCount] of Object.entries(count)) results.add(formatLabels({ result }), hostCount);
  const all = [version, hostVersion, results, ...counters.map(({ metric }) => metric), open];
  return all.map((metric) => metric.text()).join("");
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

/**
 * One metric in Prometheus's text format. The labels are formatted once and shared by several metrics: prom-client keeps
 * each sample by its labels, which would block a leader with thousands of samples for 100 ms at each scrape.
 */
export class MetricText {
  readonly #name: string;
  readonly #lines: string[];

  constructor(name: string, type: "counter" | "gauge", help: string) {
    this.#name = name;
    this.#lines = [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
  }

  /** @param labels from {@link formatLabels} */
  add(labels: string, value: number): void {
    this.#lines.push(`${this.#name}${labels} ${value}`);
  }

  text(): string {
    return `${this.#lines.join("\n")}\n`;
  }
}

/** Formats labels as `{service="shop_web"}`. Omits empty labels, which Prometheus treats like missing ones. */
export function formatLabels(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).filter(([, value]) => value !== "");
  if (pairs.length === 0) return "";
  return `{${pairs.map(([name, value]) => `${name}="${escapeLabel(value)}"`).join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => (character === "\n" ? "\\n" : `\\${character}`));
}
