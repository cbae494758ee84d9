import { describePublished, type PortSpec, PortSpec_Mode, type ServiceSummary } from "@berth/proto";
import { type FilterTable, hasLabel } from "../options/filters.js";
import { modeWord, replicasText } from "./modes.js";
import type { Listing } from "./print.js";
import { rolloutWord } from "./rollouts.js";
import { portModeWord, protocolWord } from "./words.js";

const SHORT_ID_LENGTH = 12;

export function shortId(id: string): string {
  return id.slice(0, SHORT_ID_LENGTH);
}

/** The columns of `docker service ls`. */
export function serviceListing(rows: readonly ServiceSummary[]): Listing<ServiceSummary> {
  return {
    rows: rows.toSorted((a, b) => serviceName(a).localeCompare(serviceName(b))),
    id: serviceId,
    json: serviceJson,
    columns: [
      { title: "ID", cell: (row) => shortId(serviceId(row)) },
      { title: "NAME", cell: serviceName },
      { title: "MODE", cell: modeWord },
      { title: "REPLICAS", cell: replicasText },
      { title: "IMAGE", cell: imageOf },
      { title: "PORTS", cell: ({ service }) => (service?.spec?.ports ?? []).map(portText).join(", ") },
    ],
  };
}

export const SERVICE_FILTERS: FilterTable<ServiceSummary> = {
  id: (row, value) => serviceId(row).startsWith(value),
  name: (row, value) => serviceName(row).includes(value),
  mode: (row, value) => modeWord(row) === value,
  label: ({ service }, value) => hasLabel(service?.spec?.labels ?? {}, value),
  stack: ({ service }, value) => service?.spec?.stack === value,
};

export function serviceJson(summary: ServiceSummary): unknown {
  const { service, desired, running, converged, reasons, completed } = summary;
  return {
    id: serviceId(summary),
    name: serviceName(summary),
    stack: service?.spec?.stack ?? "",
    mode: modeWord(summary),
    image: imageOf(summary),
    desired,
    running,
    converged,
    reasons,
    completed,
    removing: service?.removing ?? false,
    version: service?.version ?? 0,
    rollout: service?.rollout === undefined ? null : rolloutWord(service.rollout.state),
    ports: (service?.spec?.ports ?? []).map(portJson),
    labels: service?.spec?.labels ?? {},
  };
}

export const serviceId = ({ service }: ServiceSummary): string => service?.id ?? "";
export const serviceName = ({ service }: ServiceSummary): string => service?.spec?.name ?? "";
export const imageOf = ({ service }: ServiceSummary): string => service?.spec?.task?.container?.image ?? "";

/** `*:8080->80/tcp`; with the host mode named, since only some hosts answer. */
export function portText(port: PortSpec): string {
  const published = port.published === 0 ? "*:?" : describePublished(port).replace(/\/\w+$/, "");
  const from = port.hostIp === "" && port.published !== 0 ? `*:${published}` : published;
  const mode = port.mode === PortSpec_Mode.HOST ? " (host)" : "";
  return `${from}->${port.target}/${protocolWord(port.protocol)}${mode}`;
}

function portJson({ target, published, protocol, mode, hostIp }: PortSpec): unknown {
  return { target, published, protocol: protocolWord(protocol), mode: portModeWord(mode), hostIp };
}
