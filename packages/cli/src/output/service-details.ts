import {
  describeFileTarget,
  FileKind,
  type GetServiceResponse,
  GetServiceTrafficResponse,
  ownerNames,
  type Resources,
  type Service,
  type ServiceRevision,
  ServiceSpec,
  shortDigest,
} from "@berth/proto";
import { formatBytes, formatCpus, formatTimeSince } from "./human.js";
import { autoscaleFields, cronFields, cronJson, jobFields, jobJson } from "./jobs.js";
import { modeName, replicasText } from "./modes.js";
import { rolloutJson, rolloutStateName } from "./rollouts.js";
import { endpointsField, type ServiceTraffic, trafficField } from "./service-traffic.js";
import {
  portText,
  serviceId,
  serviceImage,
  serviceImageDigest,
  serviceJson,
  serviceName,
} from "./services.js";
import { capitalize, protocolName } from "./state-names.js";
import { formatFields } from "./table.js";

/** Returns all details of a service as JSON. */
export function serviceDetailsJson(
  { service: summary, ingress, revisions }: GetServiceResponse,
  traffic?: ServiceTraffic,
): unknown {
  if (summary === undefined) return {};
  const { service } = summary;
  return {
    ...serviceJson(summary),
    createdAtMs: service?.createdAtMs ?? 0,
    updatedAtMs: service?.updatedAtMs ?? 0,
    templateVersion: service?.templateVersion ?? 0,
    healthyVersion: service?.healthyVersion || null,
    revisions,
    rollout: service?.rollout === undefined ? null : rolloutJson(service.rollout),
    job: service?.job === undefined ? null : jobJson(service.job),
    cron: service?.cron === undefined ? null : cronJson(service.cron),
    autoscale: service?.autoscale ?? null,
    spec: service?.spec === undefined ? {} : ServiceSpec.toJSON(service.spec),
    ingress: ingress.map(({ published, protocol, hostIp, endpoints, draining }) => ({
      published,
      protocol: protocolName(protocol),
      hostIp,
      endpoints: endpoints.map(endpointText),
      draining: draining.map(endpointText),
      tasks: [...endpoints, ...draining].map(({ taskId }) => taskId),
    })),
    traffic: traffic === undefined ? null : GetServiceTrafficResponse.toJSON(traffic.traffic),
  };
}

/** Formats the details of a service as text. Fields without a value are left out. */
export function serviceDetailsText(
  { service: summary, ingress, revisions }: GetServiceResponse,
  nowMs: number,
  traffic?: ServiceTraffic,
): string {
  if (summary === undefined) return "";
  const { service } = summary;
  const spec = service?.spec;
  const { limits, reservations } = spec?.task ?? {};
  return formatFields([
    ["ID", serviceId(summary)],
    ["Name", serviceName(summary)],
    ["Stack", spec?.stack ?? ""],
    ["Mode", capitalize(modeName(summary))],
    ["Replicas", replicasText(summary)],
    ["Pending", summary.reasons],
    ["Version", versionText(service)],
    ["Revisions", revisions.map(revisionText)],
    ["Rollout", service === undefined ? [] : rolloutLines(service, nowMs)],
    ...jobFields(service, nowMs),
    ...cronFields(service, nowMs),
    ...autoscaleFields(service, nowMs),
    ["Image", serviceImage(summary)],
    ["Digest", serviceImageDigest(summary)],
    ["Constraints", spec?.placement?.constraints ?? []],
    ["Preferences", spec?.placement?.spread.map((attribute) => `spread over ${attribute}`) ?? []],
    ["Secrets", fileTexts(spec, FileKind.SECRET)],
    ["Configs", fileTexts(spec, FileKind.CONFIG)],
    ["Beside", spec === undefined ? [] : ownerNames(spec)],
    ["Depends on", spec?.dependsOn.map(({ service: other }) => other) ?? []],
    ["Limits", resourcesText(limits)],
    ["Reservations", resourcesText(reservations)],
    ["Ports", spec?.ports.map(portText) ?? []],
    ...ingress.map((entry) => endpointsField(entry, traffic)),
    ...(traffic === undefined ? [] : [trafficField(traffic.traffic)]),
  ]);
}

/** Returns `shop_key -> /run/secrets/key`, or `shop_key -> env KEY`, for each secret or config. */
function fileTexts(spec: ServiceSpec | undefined, fileKind: FileKind): readonly string[] {
  const files = spec?.task?.container?.files ?? [];
  return files
    .filter(({ kind }) => kind === fileKind)
    .map((file) => `${file.name} -> ${describeFileTarget(file)}`);
}

function versionText(service: Service | undefined): string {
  const { version = 0, healthyVersion = 0 } = service ?? {};
  if (healthyVersion === 0) return String(version);
  return healthyVersion === version ? `${version} (healthy)` : `${version} (last healthy: ${healthyVersion})`;
}

/** Returns `3: nginx:1.27` with the first digits of the digest, which distinguish the contents of a moved tag. */
function revisionText({ version, image, imageDigest }: ServiceRevision): string {
  const digest = imageDigest === "" ? "" : ` (${shortDigest(imageDigest)})`;
  return `${version}: ${image}${digest}`;
}

function rolloutLines({ rollout }: Service, nowMs: number): readonly string[] {
  if (rollout === undefined) return [];
  const { state, fromVersion, toVersion, startedAtMs, endedAtMs, message } = rollout;
  const when =
    endedAtMs === 0
      ? `started ${formatTimeSince(startedAtMs, nowMs)}`
      : `ended ${formatTimeSince(endedAtMs, nowMs)}`;
  const failures = rollout.failedCount > 0 ? `, ${rollout.failedCount} failed` : "";
  const counts = `${rollout.updatedSlots} updated${failures}`;
  const head = `${rolloutStateName(state)}, version ${fromVersion} to ${toVersion}, ${counts}, ${when}`;
  return message === "" ? [head] : [head, message];
}

function endpointText({ address, port }: { readonly address: string; readonly port: number }): string {
  return `${address}:${port}`;
}

function resourcesText(resources: Resources | undefined): string {
  const { nanoCpus = 0, memoryBytes = 0, pids = 0, generic = {} } = resources ?? {};
  return [
    nanoCpus > 0 ? `${formatCpus(nanoCpus)} CPUs` : "",
    memoryBytes > 0 ? `${formatBytes(memoryBytes)} memory` : "",
    pids > 0 ? `${pids} pids` : "",
    ...Object.entries(generic).map(([kind, count]) => `${count} ${kind}`),
  ]
    .filter((text) => text !== "")
    .join(", ");
}
