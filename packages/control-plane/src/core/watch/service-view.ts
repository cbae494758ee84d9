import {
  assertNever,
  ServiceView_Mode as Mode,
  type Service,
  type ServiceSpec,
  type ServiceSummary,
  type ServiceView,
} from "@berth/proto";
import { isRolloutActive } from "../model/rollout.js";
import { updatePolicy } from "../orchestrator/update-policy.js";

/** Returns the view of a service, whose summary has the numbers of its tasks. */
export function viewService(service: Service, spec: ServiceSpec, summary: ServiceSummary): ServiceView {
  const container = spec.task?.container;
  const { healthyVersion, earlierHealthyVersions } = service;
  return {
    id: service.id,
    name: spec.name,
    stack: spec.stack,
    mode: modeOf(spec),
    image: container?.image ?? "",
    imageDigest: container?.imageDigest ?? "",
    version: service.version,
    templateVersion: service.templateVersion,
    createdAtMs: service.createdAtMs,
    updatedAtMs: service.updatedAtMs,
    isRemoving: service.removing,
    desired: summary.desired,
    running: summary.running,
    isConverged: summary.converged,
    reasons: summary.reasons,
    ports: spec.ports,
    labels: spec.labels,
    networks: (spec.task?.networks ?? []).map(({ network }) => network),
    rollout: service.rollout,
    rolloutDeadlineMs: rolloutDeadlineMs(service, spec),
    healthyVersions: [healthyVersion, ...earlierHealthyVersions].filter((version) => version > 0),
    job: service.job,
    cron: service.cron,
    autoscale: service.autoscale,
    minReplicas: spec.autoscale?.min ?? 0,
    maxReplicas: spec.autoscale?.max ?? 0,
  };
}

function modeOf({ mode }: ServiceSpec): Mode {
  switch (mode?.$case) {
    case "replicated":
      return Mode.REPLICATED;
    case "global":
      return Mode.GLOBAL;
    case "replicatedJob":
      return Mode.REPLICATED_JOB;
    case "globalJob":
      return Mode.GLOBAL_JOB;
    case undefined:
      return Mode.UNSPECIFIED;
    default:
      return assertNever(mode);
  }
}

/** Returns when the rollout fails unless there is progress. 0 when no rollout is in progress, or it has no deadline. */
function rolloutDeadlineMs(service: Service, spec: ServiceSpec): number {
  const { rollout } = service;
  if (rollout === undefined || !isRolloutActive(rollout)) return 0;
  const deadlineMs = rollout.progressedAtMs + updatePolicy(service, spec).progressDeadlineMs;
  return Number.isFinite(deadlineMs) ? deadlineMs : 0;
}
