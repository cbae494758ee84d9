import { type PortSpec, type Service, ServiceSpec, type Task, type TemplateChange } from "@berth/proto";
import { isHostMode } from "../scheduler/resource-request.js";
import { canonicalText } from "./canonical.js";

/** Changes of the template that a service remembers. A task that is older than all of them is outdated anyway. */
const KEPT_MARKS = 20;

/** Of versions that nobody remembers: equal to no template. */
const UNKNOWN_TEMPLATE = 0;

type Templates = Pick<Service, "templateVersion" | "templates">;

/**
 * The template that a version's tasks are made from, named by the first version that had it. A service that goes
 * back to an older template has the older name again, so that tasks which still run it are not outdated.
 */
export function templateOf({ templateVersion, templates }: Templates, version: number): number {
  if (templates.length === 0) return version >= templateVersion ? templateVersion : UNKNOWN_TEMPLATE;
  for (let at = templates.length - 1; at >= 0; at -= 1) {
    const mark = templates[at];
    if (mark !== undefined && mark.version <= version) return mark.templateVersion;
  }
  return UNKNOWN_TEMPLATE;
}

/** Whether a task runs what its service now asks for. */
export type CurrentTest = (task: Pick<Task, "specVersion">) => boolean;

/** The test for a service as it is now; quick enough to be asked of every task. */
export function currentTest(service: Templates): CurrentTest {
  const { templates, templateVersion } = service;
  const since = templates.at(-1)?.version ?? templateVersion;
  return ({ specVersion }) =>
    specVersion >= since || (templates.length > 1 && templateOf(service, specVersion) === templateVersion);
}

/** The marks with one more: from `version` on, tasks are made from `template`. */
export function markTemplate(
  service: Templates,
  { version, template }: { readonly version: number; readonly template: number },
): TemplateChange[] {
  const { templates, templateVersion } = service;
  const known = templates.length > 0 ? templates : [{ version: templateVersion, templateVersion }];
  return [...known, { version, templateVersion: template }].slice(-KEPT_MARKS);
}

/** Equal for specs whose tasks need not be told apart. */
export function templateText(spec: ServiceSpec | undefined): string {
  if (spec === undefined) return "";
  // The published port of an ingress is the agents' matter, not the container's.
  const ports = spec.ports.map((port) => (isHostMode(port) ? port : { ...port, published: 0, hostIp: "" }));
  const { container, limits, forceUpdate = 0, networks: joined = [] } = spec.task ?? {};
  // Names in a network are the name servers' matter, not the container's.
  const networks = joined.map(({ network, ipv4Address }) => ({ network, ipv4Address }));
  const template = ServiceSpec.fromPartial({ task: { container, limits, forceUpdate, networks }, ports });
  return canonicalText(ServiceSpec.toJSON(withSortedPorts(template)));
}

/** The order in which ports are listed means nothing. */
export function withSortedPorts(spec: ServiceSpec): ServiceSpec {
  const key = (port: PortSpec): string => canonicalText(port);
  return { ...spec, ports: [...spec.ports].sort((a, b) => (key(a) < key(b) ? -1 : 1)) };
}
