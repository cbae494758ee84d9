import { Counter, Gauge, Registry } from "prom-client";
import { type IngressStats, listenerName } from "../dataplane/table/ingress-table.js";

const SERVICE_LABELS = ["stack", "service"] as const;
const PORT_LABELS = [...SERVICE_LABELS, "port"] as const;

/** Creates metrics in one registry, with the common prefix. */
interface MetricFactory {
  counter(name: string, help: string, labelNames: readonly string[]): Counter;
  gauge(name: string, help: string, labelNames?: readonly string[]): Gauge;
}

/**
 * Returns the counters of this node's ingress process in Prometheus text format. They include both the kernel and the
 * user-space proxy, and restart at 0 with the process.
 */
export async function ingressMetrics(stats: IngressStats): Promise<string> {
  const registry = new Registry();
  const metrics = createMetricFactory(registry);
  addProcessMetrics(stats, metrics);
  addListenerMetrics(stats, metrics);
  addVipMetrics(stats, metrics);
  return registry.metrics();
}

function createMetricFactory(registry: Registry): MetricFactory {
  const registers = [registry];
  return {
    counter: (name, help, labelNames) =>
      new Counter({ name: `berth_ingress_${name}`, help, labelNames: [...labelNames], registers }),
    gauge: (name, help, labelNames = []) =>
      new Gauge({ name: `berth_ingress_${name}`, help, labelNames: [...labelNames], registers }),
  };
}

function addProcessMetrics(stats: IngressStats, { gauge }: MetricFactory): void {
  gauge(
    "table_version",
    "Version of the ingress table in use; versions of different nodes are unrelated",
  ).set(stats.version);
  gauge("kernel", "1 if the kernel balances connections, 0 if the user-space proxy does").set(
    Number(stats.path.kernel),
  );
  gauge("resident_bytes", "Memory of the ingress process").set(stats.residentBytes);
  gauge("closed_ports", "Published ports that are not open on this node").set(stats.errors.length);
}

function addListenerMetrics(stats: IngressStats, { counter, gauge }: MetricFactory): void {
  const total = counter("connections_total", "Connections (or UDP flows) to a published port", PORT_LABELS);
  const open = gauge("connections_open", "Open connections (or UDP flows) to a published port", PORT_LABELS);
  const failed = counter("failures_total", "Connections that no endpoint accepted", PORT_LABELS);
  const retried = counter(
    "retries_total",
    "Connection attempts that were repeated with another endpoint",
    PORT_LABELS,
  );
  const held = gauge("connections_held", "Connections that wait for an endpoint", PORT_LABELS);
  const heldTotal = counter("held_total", "Connections that have waited for an endpoint", PORT_LABELS);
  const heldRefused = counter("held_refused_total", "Connections that have waited in vain", PORT_LABELS);
  const ejected = counter(
    "ejections_total",
    "Ejections of endpoints that failed or whose node became suspect",
    PORT_LABELS,
  );
  const endpoints = gauge("endpoints", "Endpoints of a port by state: serving, ejected, draining", [
    ...PORT_LABELS,
    "state",
  ]);
  const toNode = [...PORT_LABELS, "to_node"];
  const byNode = counter("node_connections_total", "Connections accepted by the tasks of a node", toNode);
  const nodeFailures = counter("node_failures_total", "Connection attempts that failed on a node", toNode);
  for (const listener of stats.listeners) {
    const labels = { ...serviceLabels(listener), port: listenerName(listener) };
    total.inc(labels, listener.total);
    open.set(labels, listener.active);
    failed.inc(labels, listener.failed);
    retried.inc(labels, listener.retried);
    held.set(labels, listener.held);
    heldTotal.inc(labels, listener.heldTotal);
    heldRefused.inc(labels, listener.heldRefused);
    ejected.inc(labels, listener.ejections);
    for (const { state } of listener.endpoints) endpoints.inc({ ...labels, state });
    for (const { node, total: accepted, failed: refused } of listener.nodes) {
      byNode.inc({ ...labels, to_node: node }, accepted);
      nodeFailures.inc({ ...labels, to_node: node }, refused);
    }
  }
}

function addVipMetrics(stats: IngressStats, { counter, gauge }: MetricFactory): void {
  const names = [...SERVICE_LABELS, "network"];
  const connections = counter(
    "vip_connections_total",
    "Connections (or UDP flows) from containers on this node to a virtual IP",
    names,
  );
  const held = gauge("vip_connections_held", "Connections to a virtual IP that wait for a task", names);
  const heldTotal = counter("vip_held_total", "Connections to a virtual IP that have waited", names);
  const heldRefused = counter(
    "vip_held_refused_total",
    "Connections to a virtual IP that have waited in vain",
    names,
  );
  for (const vip of stats.vips) {
    const labels = { ...serviceLabels(vip), network: vip.network };
    connections.inc(labels, vip.connections);
    held.set(labels, vip.held);
    heldTotal.inc(labels, vip.heldTotal);
    heldRefused.inc(labels, vip.heldRefused);
  }
}

/** Omits the label of a missing stack: to Prometheus, an empty label is the same. */
function serviceLabels({ stack, service }: { readonly stack: string; readonly service: string }): {
  readonly service: string;
  readonly stack?: string;
} {
  return stack === "" ? { service } : { stack, service };
}
