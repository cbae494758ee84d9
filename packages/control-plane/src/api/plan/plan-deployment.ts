import {
  type DeployPlan,
  type FieldChange,
  ServiceOutcome_Kind as Kind,
  type NetworkOutcome,
  NetworkOutcome_Kind,
  type Service,
  type ServiceOutcome,
  type ServicePlan,
  type ServiceSpec,
} from "@berth/proto";
import { policyOf } from "../../core/orchestrator/update-policy.js";
import type { ClusterState } from "../../state/cluster-state.js";
import { decideDeployment, type StackDeployment } from "../deploy/decide-deployment.js";
import { type Forecast, forecast } from "./forecast.js";
import { type PlanParts, planRev } from "./plan-revision.js";
import { specChanges } from "./spec-diff.js";

export interface PlannedDeployment extends PlanParts {
  readonly plan: DeployPlan;
  /** For a person. */
  readonly warnings: readonly string[];
}

/** Of what is new, all is a change: these say enough. */
const SHOWN_OF_NEW = ["task.container.image", "replicated.replicas", "replicated_job.total_completions"];
const UNTOUCHED: Forecast = { steps: [], problems: [], omittedSteps: 0 };

/**
 * What a deployment would do, task by task, without doing any of it.
 * @throws BerthError what the deployment itself would throw
 */
export function planDeployment(
  deployment: StackDeployment,
  state: ClusterState,
  now: number,
): PlannedDeployment {
  return state.draft((draft) => {
    const before = new Map(
      [...state.services.ofStack(deployment.stack).values()].map((one) => [one.id, one]),
    );
    const newId = idSource();
    const { changes, result } = decideDeployment(deployment, state, { now, newId });
    const { services: outcomes, warnings } = result;
    const networks = result.networks.filter(({ kind }) => kind !== NetworkOutcome_Kind.UNCHANGED);
    draft.write(changes);
    const after = new Map(
      outcomes.map(({ serviceId }) => [serviceId, state.services.get(serviceId)] as const),
    );
    const futures = forecast([...after.keys()], { state, draft, now, newId });
    const parts = outcomes.map((outcome) => {
      const service = after.get(outcome.serviceId);
      const old = before.get(outcome.serviceId);
      const future = futures.get(outcome.serviceId) ?? UNTOUCHED;
      const spec = outcome.kind === Kind.REMOVED ? undefined : service?.spec;
      return { plan: servicePlan(outcome, { old, service, future }), spec };
    });
    const rev = planRev({ parts, networks });
    const services = parts.map(({ plan }) => plan);
    return { plan: { rev, services, networks: networks.map(asPlanned) }, parts, networks, warnings };
  });
}

/** An id that nothing will ever have tells nobody anything. */
function asPlanned(outcome: NetworkOutcome): NetworkOutcome {
  return outcome.kind === NetworkOutcome_Kind.CREATED ? { ...outcome, networkId: "" } : outcome;
}

interface Course {
  readonly old: Service | undefined;
  /** As the deployment makes it. */
  readonly service: Service | undefined;
  readonly future: Forecast;
}

function servicePlan({ name, kind, version }: ServiceOutcome, { old, service, future }: Course): ServicePlan {
  const replacesTasks =
    old !== undefined && kind === Kind.UPDATED && service?.templateVersion !== old.templateVersion;
  return {
    name,
    kind,
    fromVersion: old?.version ?? 0,
    toVersion: kind === Kind.REMOVED ? 0 : version,
    changes: kind === Kind.REMOVED ? [] : [...changesOf(old?.spec, service?.spec)],
    replacesTasks,
    rollout: replacesTasks ? rolloutText(service) : "",
    steps: [...future.steps],
    problems: [...future.problems],
    omittedSteps: future.omittedSteps,
  };
}

function changesOf(old: ServiceSpec | undefined, spec: ServiceSpec | undefined): readonly FieldChange[] {
  if (spec === undefined) return [];
  const changes = specChanges(old, spec);
  return old === undefined ? changes.filter(({ path }) => SHOWN_OF_NEW.includes(path)) : changes;
}

function rolloutText(service: Service | undefined): string {
  if (service?.spec === undefined) return "";
  const { parallelism, startFirst, onFailure } = policyOf(service, service.spec);
  const count = Number.isFinite(parallelism) ? `${parallelism} at a time` : "all at once";
  return `${count}, ${startFirst ? "start-first" : "stop-first"}, on failure: ${onFailure}`;
}

/** Ids for what will never be. */
function idSource(): () => string {
  let next = 0;
  return () => {
    next += 1;
    return `planned-${next}`;
  };
}
