import type { NamedService, NamesTable } from "./names-table.js";

/** The table without tasks on these nodes, but with all tasks of a service that has no others. */
export function withoutSuspects(table: NamesTable, suspects: ReadonlySet<string>): NamesTable {
  if (suspects.size === 0) return table;
  return { ...table, services: table.services.map((service) => trusted(service, suspects)) };
}

function trusted(service: NamedService, suspects: ReadonlySet<string>): NamedService {
  const endpoints = service.endpoints.filter(({ nodeId }) => !suspects.has(nodeId));
  return endpoints.length === 0 ? service : { ...service, endpoints };
}
