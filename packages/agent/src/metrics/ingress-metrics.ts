import { Counter, Gauge, Registry } from "prom-client";
import { type IngressStats, listenerName } from "../ingress/table.js";

const PORT = ["service", "port"] as const;

/**
 * What the ingress of this host has done, in Prometheus's text format. Both paths together; what the kernel counts
 * starts anew when its table is loaded again.
 */
export async function ingressMetrics(stats: IngressStats): Promise<string> {
  const registry = new Registry();
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: readonly string[]): Counter =>
    new Counter({ name: `berth_ingress_${name}`, help, labelNames: [...labelNames], registers });
  const gauge = (name: string, help: string, labelNames: readonly string[] = []): Gauge =>
    new Gauge({ name: `berth_ingress_${name}`, help, labelNames: [...labelNames], registers });

  gauge("table_version", "Version of the table that serves").set(stats.version);
  gauge("kernel", "1 while the kernel balances what it can, 0 while the process does it all").set(
    Number(stats.path.kernel),
  );
  gauge("resident_bytes", "Memory of the ingress process").set(stats.residentBytes);
  gauge("closed_ports", "Published ports that do not answer here").set(stats.errors.length);
  const total = counter("connections_total", "Connections, and flows of UDP, to a published port", PORT);
  const open = gauge("connections_open", "Those that are open", PORT);
  const failed = counter("failures_total", "Connections that no endpoint took", PORT);
  const retried = counter("retries_total", "Attempts that moved on to another endpoint", PORT);
  const endpoints = gauge("endpoints", "Endpoints of a port by state: serving, ejected, draining", [
    ...PORT,
    "state",
  ]);
  const byNode = counter("node_connections_total", "Connections given to the tasks of a node", [
    ...PORT,
    "node",
  ]);
  const nodeFailures = counter("node_failures_total", "Attempts that tasks of a node failed", [
    ...PORT,
    "node",
  ]);
  for (const listener of stats.listeners) {
    const labels = { service: listener.service, port: listenerName(listener) };
    total.inc(labels, listener.total);
    open.set(labels, listener.active);
    failed.inc(labels, listener.failed);
    retried.inc(labels, listener.retried);
    for (const endpoint of listener.endpoints) {
      endpoints.inc({ ...labels, state: endpoint.state });
      byNode.inc({ ...labels, node: endpoint.node ?? "" }, endpoint.total);
      nodeFailures.inc({ ...labels, node: endpoint.node ?? "" }, endpoint.failed);
    }
  }
  return registry.metrics();
}
