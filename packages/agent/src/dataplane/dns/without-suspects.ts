import type { DnsService, DnsTable } from "./dns-table.js";

/** The table with tasks on these nodes as draining ones, but with all tasks of a service that has no others. */
export function demoteSuspects(table: DnsTable, suspects: ReadonlySet<string>): DnsTable {
  if (suspects.size === 0) return table;
  return { ...table, services: table.services.map((service) => trusted(service, suspects)) };
}

function trusted(service: DnsService, suspects: ReadonlySet<string>): DnsService {
  const endpoints = service.endpoints.filter(({ nodeId }) => !suspects.has(nodeId));
  if (endpoints.length === 0 || endpoints.length === service.endpoints.length) return service;
  const avoided = service.endpoints.filter(({ nodeId }) => suspects.has(nodeId));
  return { ...service, endpoints, draining: [...service.draining, ...avoided] };
}
