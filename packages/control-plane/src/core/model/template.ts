import {
  type NetworkAttachment,
  type PortSpec,
  PortSpec_Mode,
  type Service,
  ServiceSpec,
  type Task,
  type TemplateChange,
} from "@berth/proto";
import { canonicalText } from "./canonical.js";

// Tracks which versions of a service have the same task template. The leader replaces tasks only when the template has
// changed. The task template is the part of the spec from which containers are created. Its version number is that of
// the first service version with this template.

/** Maximum number of template changes in a service record. A task older than all of them counts as outdated. */
const MAX_CHANGES = 20;

/** Template version of service versions older than the history. It equals no other template version. */
const UNKNOWN_TEMPLATE = 0;

/** The current template version of a service and its last template changes, oldest first. */
type TemplateHistory = Pick<Service, "templateVersion" | "templates">;

/**
 * Returns the template version of a service version: the first service version that had the same template. A service
 * that returns to an older template gets the older template version again, so tasks that still run it are current.
 */
export function templateVersionAt(history: TemplateHistory, version: number): number {
  const { templateVersion, templates } = history;
  if (templates.length === 0) return version >= templateVersion ? templateVersion : UNKNOWN_TEMPLATE;
  const change = templates.findLast((candidate) => candidate.version <= version);
  return change?.templateVersion ?? UNKNOWN_TEMPLATE;
}

/** Returns whether a task runs the current template of its service. */
export type CurrentTaskFilter = (task: Pick<Task, "specVersion">) => boolean;

/** Returns a filter for the tasks that run the current template of a service. It is cheap enough to run for every task. */
export function currentTaskFilter(service: TemplateHistory): CurrentTaskFilter {
  const { templates, templateVersion } = service;
  const currentSinceVersion = templates.at(-1)?.version ?? templateVersion;
  return ({ specVersion }) =>
    specVersion >= currentSinceVersion ||
    (templates.length > 1 && templateVersionAt(service, specVersion) === templateVersion);
}

/** Adds a template change: from service version `version` on, tasks are created from the template `templateVersion`. */
export function addTemplateChange(
  history: TemplateHistory,
  change: { readonly version: number; readonly templateVersion: number },
): TemplateChange[] {
  const { templates, templateVersion } = history;
  const changes = templates.length > 0 ? templates : [{ version: templateVersion, templateVersion }];
  return [...changes, change].slice(-MAX_CHANGES);
}

/** Serializes the task template of a spec. The texts of two specs are equal if and only if their templates are. */
export function templateText(spec: ServiceSpec | undefined): string {
  if (spec === undefined) return "";
  const { container, limits, forceUpdate = 0 } = spec.task ?? {};
  const task = { container, limits, forceUpdate, networks: [...templateNetworks(spec)] };
  const templateParts = ServiceSpec.fromPartial({ task, ports: [...templatePorts(spec)] });
  return canonicalText(ServiceSpec.toJSON(withSortedPorts(templateParts)));
}

/**
 * Returns the ports without the fields that can change without replacing the task. Only ports in host mode are published
 * by the container itself.
 */
export function templatePorts({ ports }: ServiceSpec): readonly PortSpec[] {
  return ports.map((port) =>
    port.mode === PortSpec_Mode.HOST ? port : { ...port, published: 0, hostIp: "" },
  );
}

/** The fields of a network attachment that belong to the task template. */
type TemplateNetwork = Omit<NetworkAttachment, "aliases" | "optional" | "encrypted" | "addressesPerHost">;

/**
 * Returns the networks without the fields that can change without replacing the task. Aliases are resolved by berth's DNS
 * server, outside the container.
 */
export function templateNetworks({ task }: ServiceSpec): readonly TemplateNetwork[] {
  return (task?.networks ?? []).map(({ network, ipv4Address, macAddress, linkLocalIps, interfaceName }) => ({
    network,
    ipv4Address,
    macAddress,
    linkLocalIps,
    interfaceName,
  }));
}

/** Sorts the ports, because their order has no meaning. */
export function withSortedPorts(spec: ServiceSpec): ServiceSpec {
  const ports = spec.ports.map((port) => ({ port, key: canonicalText(port) }));
  ports.sort((a, b) => (a.key < b.key ? -1 : 1));
  return { ...spec, ports: ports.map(({ port }) => port) };
}
