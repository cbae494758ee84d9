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

/** Template changes that a service remembers. A task older than all of them counts as outdated. */
const KEPT_CHANGES = 20;

/** The template of versions that are not remembered. Equal to no other template. */
const UNKNOWN_TEMPLATE = 0;

type Templates = Pick<Service, "templateVersion" | "templates">;

/**
 * Returns the template that a version's tasks are created from, named by the first version that had it. A service that
 * returns to an older template gets the older name again, so tasks that still run it are not outdated.
 */
export function templateOf({ templateVersion, templates }: Templates, version: number): number {
  if (templates.length === 0) return version >= templateVersion ? templateVersion : UNKNOWN_TEMPLATE;
  for (let at = templates.length - 1; at >= 0; at -= 1) {
    const change = templates[at];
    if (change !== undefined && change.version <= version) return change.templateVersion;
  }
  return UNKNOWN_TEMPLATE;
}

/** Whether a task runs the current template of its service. */
export type CurrentTest = (task: Pick<Task, "specVersion">) => boolean;

/** Returns the test for a service. It is cheap enough to run on every task. */
export function currentTest(service: Templates): CurrentTest {
  const { templates, templateVersion } = service;
  const since = templates.at(-1)?.version ?? templateVersion;
  return ({ specVersion }) =>
    specVersion >= since || (templates.length > 1 && templateOf(service, specVersion) === templateVersion);
}

/** Returns the template changes with one more: from `version` on, tasks are created from `template`. */
export function addTemplateChange(
  service: Templates,
  { version, template }: { readonly version: number; readonly template: number },
): TemplateChange[] {
  const { templates, templateVersion } = service;
  const known = templates.length > 0 ? templates : [{ version: templateVersion, templateVersion }];
  return [...known, { version, templateVersion: template }].slice(-KEPT_CHANGES);
}

/** Returns a text that is equal for specs whose tasks are interchangeable. */
export function templateText(spec: ServiceSpec | undefined): string {
  if (spec === undefined) return "";
  const { container, limits, forceUpdate = 0 } = spec.task ?? {};
  const task = { container, limits, forceUpdate, networks: [...networksTemplate(spec)] };
  const template = ServiceSpec.fromPartial({ task, ports: [...portsTemplate(spec)] });
  return canonicalText(ServiceSpec.toJSON(withSortedPorts(template)));
}

/** Returns the ports as a task depends on them: ingress publishes ports without the container's involvement. */
export const portsTemplate = ({ ports }: ServiceSpec): readonly PortSpec[] =>
  ports.map((port) => (port.mode === PortSpec_Mode.HOST ? port : { ...port, published: 0, hostIp: "" }));

/** Returns the networks as a task depends on them: DNS servers resolve aliases without the container's involvement. */
export const networksTemplate = ({
  task,
}: ServiceSpec): readonly Pick<NetworkAttachment, "network" | "ipv4Address">[] =>
  (task?.networks ?? []).map(({ network, ipv4Address }) => ({ network, ipv4Address }));

/** Sorts the ports, because their order has no meaning. */
export function withSortedPorts(spec: ServiceSpec): ServiceSpec {
  const key = (port: PortSpec): string => canonicalText(port);
  return { ...spec, ports: [...spec.ports].sort((a, b) => (key(a) < key(b) ? -1 : 1)) };
}
