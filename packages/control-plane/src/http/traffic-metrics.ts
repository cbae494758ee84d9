import { type ListenerTraffic, type Node, NodeState, type TrafficReport } from "@berth/proto";
import type { Leadership } from "../server/leader.js";

/** Ports and virtual IPs, each on each host, that one answer tells of: five lines each. */
const MAX_DOORS = 10_000;

/** What one host said when it was asked; undefined: nothing in time. */
export interface HostAnswer {
  readonly hostname: string;
  readonly answer: TrafficReport | undefined;
}

export interface TrafficSurvey {
  /** Of the leader's table of who takes connections. */
  readonly tableVersion: number;
  readonly hosts: readonly HostAnswer[];
  /** Hosts that were not asked: there are too many. */
  readonly unasked: number;
}

const COUNTERS: readonly (readonly [string, string, (door: ListenerTraffic) => number])[] = [
  [
    "connections_total",
    "Connections, and flows of UDP, to a service's published port or virtual IP",
    ({ connections }) => connections,
  ],
  ["failures_total", "Connections that no task took", ({ failed }) => failed],
  ["retries_total", "Attempts that moved on to another task", ({ retried }) => retried],
  [
    "ejections_total",
    "Times that a task was passed over for a while: it failed, or its host fell silent",
    ({ ejections }) => ejections,
  ],
];

/**
 * What all hosts' ingresses did for each service, in Prometheus's text format. A series is one host's part, which
 * begins anew with that host's ingress: sums over hosts are for the reader to make, who knows of such beginnings.
 */
export function trafficMetrics({ tableVersion, hosts, unasked }: TrafficSurvey): string {
  const version = new MetricText(
    "berth_table_version",
    "gauge",
    "Version of the leader's table of who takes connections",
  );
  version.add("", tableVersion);
  const hostVersion = new MetricText(
    "berth_node_table_version",
    "gauge",
    "Version of the table that a host's ingress serves; each host counts its own",
  );
  const answers = new MetricText(
    "berth_traffic_nodes",
    "gauge",
    "Hosts by whether they told of their traffic: told, partial, silent, unasked",
  );
  const open = new MetricText("berth_service_connections_open", "gauge", "Connections that are open");
  const counters = COUNTERS.map(([name, help, read]) => ({
    metric: new MetricText(`berth_service_${name}`, "counter", help),
    read,
  }));
  let room = MAX_DOORS;
  const count = { told: 0, partial: 0, silent: 0, unasked };
  for (const { hostname, answer } of hosts) {
    const kind = kindOf(answer, room);
    count[kind] += 1;
    if (answer === undefined || kind === "silent" || kind === "unasked") continue;
    room -= answer.listeners.length;
    hostVersion.add(labelText({ node: hostname }), answer.tableVersion);
    for (const door of answer.listeners) {
      const { stack, serviceName: service, port, network } = door;
      const labels = labelText({ stack, service, port, network, node: hostname });
      for (const { metric, read } of counters) metric.add(labels, read(door));
      if (port !== "") open.add(labels, door.active);
    }
  }
  for (const [kind, hostsOfKind] of Object.entries(count))
    answers.add(labelText({ answer: kind }), hostsOfKind);
  const all = [version, hostVersion, answers, ...counters.map(({ metric }) => metric), open];
  return all.map((metric) => metric.text()).join("");
}

/** `room`: for so many doors more. */
function kindOf(answer: TrafficReport | undefined, room: number): "told" | "partial" | "silent" | "unasked" {
  // An older release answers as to the question after a service of no name: with nothing.
  if (answer === undefined || answer.tableVersion === 0) return "silent";
  if (answer.listeners.length > room) return "unasked";
  return answer.partial ? "partial" : "told";
}

type MetricType = "counter" | "gauge";

/**
 * One metric in Prometheus's text format, whose values somebody else has counted. Its labels are text that is made once
 * for many metrics: a library that keeps each sample by its labels takes a leader with thousands of them out of service
 * for a tenth of a second at each scrape.
 */
export class MetricText {
  readonly #name: string;
  readonly #lines: string[];

  constructor(name: string, type: MetricType, help: string) {
    this.#name = name;
    this.#lines = [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
  }

  /** @param labels from {@link labelText} */
  add(labels: string, value: number): void {
    this.#lines.push(`${this.#name}${labels} ${value}`);
  }

  text(): string {
    return `${this.#lines.join("\n")}\n`;
  }
}

/** `{service="shop_web"}`. An empty label is left out: to Prometheus that is the same. */
export function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).filter(([, value]) => value !== "");
  return pairs.length === 0
    ? ""
    : `{${pairs.map(([name, value]) => `${name}="${escaped(value)}"`).join(",")}}`;
}

function escaped(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => (character === "\n" ? "\\n" : `\\${character}`));
}

/** Where there are more hosts than that, each of them is asked by Prometheus itself (`berth agent --metrics`). */
const MAX_HOSTS = 250;
/** The agents have a second to answer. */
const DEADLINE_MS = 3_000;

/** Asks all hosts that are up what their ingress has done, for all services. */
export async function surveyTraffic({
  state,
  trafficCollector,
  tableVersion,
}: Pick<Leadership, "state" | "trafficCollector" | "tableVersion">): Promise<TrafficSurvey> {
  const nodes = [...state.nodes.values()].filter((node) => node.state === NodeState.READY);
  const asked = nodes.length > MAX_HOSTS ? [] : nodes;
  const ids = asked.map(({ id }) => id);
  const answers = await trafficCollector.collect("", ids, AbortSignal.timeout(DEADLINE_MS));
  const counts = new Map<string, number>();
  for (const node of asked) counts.set(hostnameOf(node), (counts.get(hostnameOf(node)) ?? 0) + 1);
  const hosts = asked.map((node) => {
    const hostname = hostnameOf(node);
    // Two series of one name would be one to Prometheus, which drops what comes second.
    const isAlone = counts.get(hostname) === 1;
    return { hostname: isAlone ? hostname : `${hostname} (${node.id})`, answer: answers.get(node.id) };
  });
  return { tableVersion: tableVersion(), hosts, unasked: nodes.length - asked.length };
}

const hostnameOf = ({ id, description }: Node): string => description?.hostname || id;
