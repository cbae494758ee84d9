import { Counter, Gauge, Registry } from "prom-client";
import { type IngressStats, listenerName } from "../dataplane/table/ingress-table.js";

const SERVICE = ["stack", "service"] as const;
const PORT = [...SERVICE, "port"] as const;

/**
 * What the ingress of this host has done, in Prometheus's text format. Both paths together. Counters grow until the
 * process is started anew.
 */
export async function ingressMetrics(stats: IngressStats): Promise<string> {
  const registry = new Registry();
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: readonly string[]): Counter =>
    new Counter({ name: `berth_ingress_${name}`, help, labelNames: [...labelNames], registers });
  const gauge = (name: string, help: string, labelNames: readonly string[] = []): Gauge =>
    new Gauge({ name: `berth_ingress_${name}`, help, labelNames: [...labelNames], registers });

  gauge("table_version", "Version of the table that serves; each host counts its own").set(stats.version);
  gauge("kernel", "1 while the kernel balances what it can, 0 while the process does it all").set(
    Number(stats.path.kernel),
  );
  gauge("resident_bytes", "Memory of the ingress process").set(stats.residentBytes);
  gauge("closed_ports", "Published ports that do not answer here").set(stats.errors.length);
  const total = counter("connections_total", "Connections, and flows of UDP, to a published port", PORT);
  const open = gauge("connections_open", "Those that are open", PORT);
  const failed = counter("failures_total", "Connections that no endpoint took", PORT);
  const retried = counter("retries_total", "Attempts that moved on to another endpoint", PORT);
  const ejected = counter(
    "ejections_total",
    "Times that an endpoint was passed over for a while: it failed, or its host fell silent",
    PORT,
  );
  const endpoints = gauge("endpoints", "Endpoints of a port by state: serving, ejected, draining", [
    ...PORT,
    "state",
  ]);
  const toNode = [...PORT, "to_node"];
  const byNode = counter("node_connections_total", "Connections given to the tasks of a node", toNode);
  const nodeFailures = counter("node_failures_total", "Attempts that tasks of a node failed", toNode);
  for (const listener of stats.listeners) {
    const labels = { ...labelsOf(listener), port: listenerName(listener) };
    total.inc(labels, listener.total);
    open.set(labels, listener.active);
    failed.inc(labels, listener.failed);
    retried.inc(labels, listener.retried);
    ejected.inc(labels, listener.ejections);
    for (const { state } of listener.endpoints) endpoints.inc({ ...labels, state });
    for (const node of listener.nodes) {
      byNode.inc({ ...labels, to_node: node.node }, node.total);
      nodeFailures.inc({ ...labels, to_node: node.node }, node.failed);
    }
  }
  const toVip = counter(
    "vip_connections_total",
    "Connections, and flows of UDP, of containers here to a service's virtual IP",
    [...SERVICE, "network"],
  );
  for (const vip of stats.vips) toVip.inc({ ...labelsOf(vip), network: vip.network }, vip.connections);
  return registry.metrics();
}

/** A service without a stack has no such label: to Prometheus an empty one is the same. */
function labelsOf({ stack, service }: { readonly stack: string; readonly service: string }): {
  readonly service: string;
  readonly stack?: string;
} {
  return stack === "" ? { service } : { stack, service };
}
