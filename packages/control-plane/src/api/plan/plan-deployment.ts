import {
  type DeployPlan,
  type FieldChange,
  type FileOutcome,
  FileOutcome_Kind,
  ServiceOutcome_Kind as Kind,
  type NetworkOutcome,
  NetworkOutcome_Kind,
  type Service,
  type ServiceOutcome,
  type ServicePlan,
  type ServiceSpec,
} from "@berth/proto";
import type { FileSealer } from "../../core/files/apply-file.js";
import { fileKey } from "../../core/files/file-mounts.js";
import { updatePolicy } from "../../core/orchestrator/update-policy.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";
import { decideDeployment, type StackDeployment } from "../deploy/decide-deployment.js";
import { type Forecast, forecast } from "./forecast.js";
import { computePlanRevision, type PlannedFile, type RevisedPlan } from "./plan-revision.js";
import { diffSpecs } from "./spec-diff.js";

export interface PlannedDeployment extends RevisedPlan {
  readonly plan: DeployPlan;
  /** Warnings to show to the user. */
  readonly warnings: readonly string[];
}

export interface PlanContext {
  readonly nowMs: number;
  /** Encrypts secrets and configs. Undefined if the server has no cluster key. */
  readonly sealer?: FileSealer | undefined;
}

/** Fields that are shown for a new service. The list of all fields would be too long. */
const SHOWN_FIELDS_OF_NEW = [
  "task.container.image",
  "task.container.image_digest",
  "replicated.replicas",
  "replicated_job.total_completions",
];
const NO_CHANGES: Forecast = { steps: [], problems: [], omittedSteps: 0 };

/**
 * Plans a deployment task by task, for a dry run. Writes nothing.
 *
 * @throws BerthError the errors of the deployment itself
 */
export function planDeployment(
  deployment: StackDeployment,
  state: ClusterState,
  { nowMs, sealer }: PlanContext,
): PlannedDeployment {
  return state.draft((draft) => {
    const before = new Map(
      [...state.services.ofStack(deployment.stack).values()].map((service) => [service.id, service]),
    );
    const newId = createPlaceholderIds();
    const { changes, result } = decideDeployment(deployment, state, { nowMs, newId, sealer });
    const { services: outcomes, warnings } = result;
    const networks = result.networks.filter(({ kind }) => kind !== NetworkOutcome_Kind.UNCHANGED);
    const files = plannedFiles(result.files, changes);
    draft.write(changes);
    const after = new Map(
      outcomes.map(({ serviceId }) => [serviceId, state.services.get(serviceId)] as const),
    );
    const forecasts = forecast([...after.keys()], { state, draft, nowMs, newId });
    const services = outcomes.map((outcome) => {
      const service = after.get(outcome.serviceId);
      const previous = before.get(outcome.serviceId);
      const serviceForecast = forecasts.get(outcome.serviceId) ?? NO_CHANGES;
      const spec = outcome.kind === Kind.REMOVED ? undefined : service?.spec;
      return {
        plan: createServicePlan(outcome, { old: previous, service, forecast: serviceForecast, state }),
        spec,
      };
    });
    const rev = computePlanRevision({ services, networks, files });
    const plan = {
      rev,
      services: services.map((service) => service.plan),
      networks: networks.map(withoutPlannedId),
      files: files.map(({ outcome }) => outcome),
    };
    return { plan, services, networks, files, warnings };
  });
}

/** Returns the secrets and configs that change. */
function plannedFiles(outcomes: readonly FileOutcome[], changes: readonly Change[]): readonly PlannedFile[] {
  const macs = new Map(
    changes.flatMap((change) =>
      change.kind === "put-file" ? [[fileKey(change.file), change.file.contentMac.toString("hex")]] : [],
    ),
  );
  return outcomes
    .filter(({ kind }) => kind !== FileOutcome_Kind.UNCHANGED)
    .map((outcome) => ({
      outcome,
      contentMac: macs.get(fileKey({ kind: outcome.fileKind, name: outcome.name })) ?? "",
    }));
}

/** Removes the ID of a network that does not exist yet, since the deployment will create another ID. */
function withoutPlannedId(outcome: NetworkOutcome): NetworkOutcome {
  return outcome.kind === NetworkOutcome_Kind.CREATED ? { ...outcome, networkId: "" } : outcome;
}

interface ServiceChange {
  readonly old: Service | undefined;
  /** The service after the deployment; undefined if it is removed. */
  readonly service: Service | undefined;
  readonly forecast: Forecast;
  /** The draft with the deployment. */
  readonly state: ClusterState;
}

function createServicePlan(
  { name, kind, version }: ServiceOutcome,
  { old, service, forecast, state }: ServiceChange,
): ServicePlan {
  const replacesTasks =
    old !== undefined && kind === Kind.UPDATED && service?.templateVersion !== old.templateVersion;
  return {
    name,
    kind,
    fromVersion: old?.version ?? 0,
    toVersion: kind === Kind.REMOVED ? 0 : version,
    changes: kind === Kind.REMOVED ? [] : [...shownChanges(old?.spec, service?.spec, state)],
    replacesTasks,
    rollout: replacesTasks ? formatRollout(service) : "",
    steps: [...forecast.steps],
    problems: [...forecast.problems],
    omittedSteps: forecast.omittedSteps,
  };
}

function shownChanges(
  old: ServiceSpec | undefined,
  spec: ServiceSpec | undefined,
  { files }: ClusterState,
): readonly FieldChange[] {
  if (spec === undefined) return [];
  const changes = diffSpecs(old, spec, (fileId) => files.get(fileId)?.version);
  return old === undefined ? changes.filter(({ path }) => SHOWN_FIELDS_OF_NEW.includes(path)) : changes;
}

function formatRollout(service: Service | undefined): string {
  if (service?.spec === undefined) return "";
  const { parallelism, startFirst, onFailure } = updatePolicy(service, service.spec);
  const count = Number.isFinite(parallelism) ? `${parallelism} at a time` : "all at once";
  return `${count}, ${startFirst ? "start-first" : "stop-first"}, on failure: ${onFailure}`;
}

/** Returns IDs for records that are never written. */
function createPlaceholderIds(): () => string {
  let next = 0;
  return () => {
    next += 1;
    return `planned-${next}`;
  };
}
