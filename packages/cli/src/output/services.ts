import { describePublishedPort, type PortSpec, PortSpec_Mode, type ServiceSummary } from "@berth/proto";
import { type FilterTable, hasLabel } from "../options/filters.js";
import { MODE_NAMES, modeName, replicasText } from "./modes.js";
import type { Listing } from "./print.js";
import { rolloutStateName } from "./rollouts.js";
import { portModeName, protocolName } from "./state-names.js";

const SHORT_ID_LENGTH = 12;

export function shortId(id: string): string {
  return id.slice(0, SHORT_ID_LENGTH);
}

/** Describes the output of `berth service ls`: the columns of `docker service ls`, and JSON. */
export function serviceListing(rows: readonly ServiceSummary[]): Listing<ServiceSummary> {
  return {
    rows: rows.toSorted((a, b) => serviceName(a).localeCompare(serviceName(b))),
    id: serviceId,
    json: serviceJson,
    columns: [
      { title: "ID", cell: (row) => shortId(serviceId(row)) },
      { title: "NAME", cell: serviceName },
      { title: "MODE", cell: modeName },
      { title: "REPLICAS", cell: replicasText },
      { title: "IMAGE", cell: serviceImage },
      { title: "PORTS", cell: ({ service }) => (service?.spec?.ports ?? []).map(portText).join(", ") },
    ],
  };
}

export const SERVICE_FILTERS: FilterTable<ServiceSummary> = {
  id: { matches: (row, value) => serviceId(row).startsWith(value) },
  name: { matches: (row, value) => serviceName(row).includes(value) },
  mode: { values: MODE_NAMES, matches: (row, value) => modeName(row) === value },
  label: { matches: ({ service }, value) => hasLabel(service?.spec?.labels ?? {}, value) },
  stack: { matches: ({ service }, value) => service?.spec?.stack === value },
};

/** Returns the JSON form of a service in lists. */
export function serviceJson(summary: ServiceSummary): object {
  const { service, desired, running, converged, reasons, completed } = summary;
  return {
    id: serviceId(summary),
    name: serviceName(summary),
    stack: service?.spec?.stack ?? "",
    mode: modeName(summary),
    image: serviceImage(summary),
    imageDigest: serviceImageDigest(summary),
    desired,
    running,
    converged,
    reasons,
    completed,
    removing: service?.removing ?? false,
    version: service?.version ?? 0,
    rollout: service?.rollout === undefined ? null : rolloutStateName(service.rollout.state),
    ports: (service?.spec?.ports ?? []).map(portJson),
    labels: service?.spec?.labels ?? {},
  };
}

export const serviceId = ({ service }: ServiceSummary): string => service?.id ?? "";
export const serviceName = ({ service }: ServiceSummary): string => service?.spec?.name ?? "";
export const serviceImage = ({ service }: ServiceSummary): string =>
  service?.spec?.task?.container?.image ?? "";

/** Returns the digest of the service's image; empty when its tag is not resolved. */
export const serviceImageDigest = ({ service }: ServiceSummary): string =>
  service?.spec?.task?.container?.imageDigest ?? "";

/** Returns `*:8080->80/tcp`, marked with `(host)` in host mode, where only the nodes of the tasks listen. */
export function portText(port: PortSpec): string {
  const published = port.published === 0 ? "*:?" : describePublishedPort(port).replace(/\/\w+$/, "");
  const from = port.hostIp === "" && port.published !== 0 ? `*:${published}` : published;
  const mode = port.mode === PortSpec_Mode.HOST ? " (host)" : "";
  return `${from}->${port.target}/${protocolName(port.protocol)}${mode}`;
}

function portJson({ target, published, protocol, mode, hostIp }: PortSpec): unknown {
  return { target, published, protocol: protocolName(protocol), mode: portModeName(mode), hostIp };
}
