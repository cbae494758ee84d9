import {
  BerthError,
  type GetServiceRequest,
  type GetServiceResponse,
  type ListServicesRequest,
  type ListServicesResponse,
  MAX_REPLICAS,
  ownerNames,
  type RemoveServicesRequest,
  type RemoveServicesResponse,
  type ScaleServicesRequest,
  type ScaleServicesResponse,
  type Service,
  type ServiceScale,
  type ServiceSpec,
} from "@berth/proto";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { ApiContext } from "./api-context.js";
import {
  decideCompanions,
  followingCompanions,
  requireCompanionsRemoved,
} from "./deploy/decide-companions.js";
import { decideFileRemoval, findFilesRemovedWith } from "./deploy/decide-files.js";
import { decideLoginRemoval } from "./deploy/decide-logins.js";
import { decideNetworkRemoval, findNetworksRemovedWith } from "./deploy/decide-networks.js";
import { decideRemoval, decideSpec, type ServiceDecision } from "./deploy/decide-spec.js";
import { requirePermitted } from "./deploy/require-permitted.js";
import { type ServiceViolation, violationsError } from "./deploy/violations.js";
import { findService } from "./lookup.js";
import { serviceRevisions, serviceSummary } from "./summaries.js";

/** Reasons why services of the other modes cannot be scaled. */
const WITHOUT_REPLICAS = {
  global: "a global service runs one task on each node and has no replicas",
  globalJob: "a global job runs one task on each node and has no replicas",
  replicatedJob: "a job has no replicas; change its completions instead",
} as const;

/** Lists all services, or those of one stack, sorted by name. */
export function listServices(
  { stack }: ListServicesRequest,
  { state, runtime }: ApiContext,
): ListServicesResponse {
  const services = stack === "" ? state.services.values() : state.services.ofStack(stack).values();
  return {
    services: [...services]
      .map((service) => serviceSummary(state, service, runtime.wallClockMs()))
      .sort(compareByName),
  };
}

/**
 * Returns one service with its published ports and kept versions.
 *
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export function getService(
  request: GetServiceRequest,
  { state, ingress, runtime }: ApiContext,
): GetServiceResponse {
  const service = findService(state, request.service);
  return {
    service: serviceSummary(state, service, runtime.wallClockMs()),
    ingress: [...ingress.ofService(service.id)],
    revisions: [...serviceRevisions(state, service.id)],
  };
}

/**
 * Sets the replicas of the given services and their companions, or changes none if one of them cannot be scaled.
 *
 * @throws BerthError BERTH_INPUT_INVALID or BERTH_POLICY_DENIED with every violation; BERTH_NOT_FOUND or
 *   BERTH_AMBIGUOUS
 */
export async function scaleServices(
  request: ScaleServicesRequest,
  { writer, runtime }: ApiContext,
  signal: AbortSignal,
): Promise<ScaleServicesResponse> {
  const decisions = await writer.submit((state) => {
    const nowMs = runtime.wallClockMs();
    const scales = resolveScales(request.services, state);
    const grown = scales.flatMap((scale) => (isScaledUp(scale) ? (scale.service.spec ?? []) : []));
    const specs = scales.flatMap(({ service, replicas }) =>
      service.spec === undefined ? [] : withReplicas(service.spec, replicas),
    );
    const companions = followingCompanions(specs, state);
    requirePermitted([...grown, ...companions], state, "no service was scaled");
    const scaled = scales.map(({ service, replicas }) => decideScale(state, service, { replicas, nowMs }));
    const changes = [...joinChanges(scaled), ...decideCompanions(companions, state, nowMs)];
    return { changes, result: scaled };
  }, signal);
  return { services: decisions.map(({ outcome }) => outcome) };
}

/**
 * Marks services, or a whole stack, for removal. The controller removes them after the call has returned. Succeeds for
 * services that are already being removed.
 *
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS; BERTH_INPUT_INVALID for a service whose companions stay
 */
export async function removeServices(
  request: RemoveServicesRequest,
  { writer, runtime }: ApiContext,
  signal: AbortSignal,
): Promise<RemoveServicesResponse> {
  const { services, networks, files } = await writer.submit((state) => {
    const unneeded = findServicesToRemove(request, state);
    requireCompanionsRemoved(unneeded, state);
    const removed = unneeded.map((service) => decideRemoval(service, runtime.wallClockMs()));
    const { stack } = request;
    const networksOfStack = decideNetworkRemoval(stack === "" ? [] : findNetworksRemovedWith(stack, state));
    const removedIds = new Set(removed.map(({ outcome }) => outcome.serviceId));
    const stacks = [stack, ...[...removedIds].map((id) => state.services.get(id)?.spec?.stack ?? "")];
    const logins = decideLoginRemoval(stacks, removedIds, state);
    const filesOfStack = decideFileRemoval(stack === "" ? [] : findFilesRemovedWith(stack, state));
    return {
      changes: [...joinChanges(removed), ...networksOfStack.changes, ...filesOfStack.changes, ...logins],
      result: {
        services: removed.map(({ outcome }) => outcome),
        networks: [...networksOfStack.outcomes],
        files: [...filesOfStack.outcomes],
      },
    };
  }, signal);
  return { services, networks, files };
}

function joinChanges(decisions: readonly ServiceDecision[]): readonly Change[] {
  return decisions.flatMap(({ changes }) => changes);
}

interface Scale {
  readonly service: Service;
  readonly replicas: number;
}

function resolveScales(scales: readonly ServiceScale[], state: ClusterState): readonly Scale[] {
  const resolved = scales.map(({ service, replicas }) => ({
    service: findService(state, service),
    replicas,
  }));
  const seenIds = new Set<string>();
  const violations = resolved.flatMap((scale): readonly ServiceViolation[] => {
    const { service } = scale;
    const problems = [...scaleProblems(scale)];
    if (seenIds.has(service.id)) problems.push("the service is listed twice");
    seenIds.add(service.id);
    return problems.map((message) => ({ service: service.spec?.name ?? service.id, path: "", message }));
  });
  if (violations.length > 0) {
    throw violationsError("BERTH_INPUT_INVALID", "no service was scaled", violations);
  }
  return resolved;
}

/** Returns whether the service needs new tasks, which the policy must permit. */
function isScaledUp({ service, replicas }: Scale): boolean {
  const mode = service.spec?.mode;
  return mode?.$case === "replicated" && replicas > mode.value.replicas;
}

/** Returns every reason why a service cannot have this number of replicas. */
function scaleProblems({ service, replicas }: Scale): readonly string[] {
  const problems: string[] = [];
  const { mode, autoscale, task } = service.spec ?? {};
  const [owner] = service.spec === undefined ? [] : ownerNames(service.spec);
  if (owner !== undefined) {
    problems.push(
      `the service has as many replicas as ${owner}, beside which it runs; scale that one instead`,
    );
  }
  if (mode?.$case !== "replicated") {
    problems.push(WITHOUT_REPLICAS[mode?.$case ?? "global"]);
  } else if (autoscale !== undefined) {
    const { min, max } = autoscale;
    problems.push(
      `the service scales itself between ${min} and ${max} replicas; change these limits instead`,
    );
  }
  const staticAddress = task?.networks.find(({ ipv4Address }) => ipv4Address !== "")?.ipv4Address;
  const hasStaticAddress = staticAddress !== undefined;
  if (hasStaticAddress && replicas > 1) {
    problems.push(
      `the service has the static address ${staticAddress}, which only one replica can have; remove it first`,
    );
  }
  if (service.removing) problems.push("the service is being removed");
  if (replicas > MAX_REPLICAS) problems.push(`too many replicas (${replicas}, maximum ${MAX_REPLICAS})`);
  return problems;
}

function decideScale(
  state: ClusterState,
  service: Service,
  { replicas, nowMs }: { readonly replicas: number; readonly nowMs: number },
): ServiceDecision {
  const { spec } = service;
  if (spec === undefined) throw new Error(`service ${service.id} has no spec`);
  return decideSpec(state, withReplicas(spec, replicas), { id: service.id, nowMs });
}

function withReplicas(spec: ServiceSpec, replicas: number): ServiceSpec {
  return {
    ...spec,
    mode: { $case: "replicated", value: { replicas } },
  };
}

function findServicesToRemove(
  { services, stack }: RemoveServicesRequest,
  state: ClusterState,
): readonly Service[] {
  const requested = services.map((reference) => findService(state, reference));
  const ofStack = stack === "" ? [] : [...state.services.ofStack(stack).values()];
  const hasFiles = state.files.ofStack(stack).size > 0;
  if (stack !== "" && ofStack.length === 0 && state.networks.ofStack(stack).size === 0 && !hasFiles) {
    throw new BerthError({ code: "BERTH_NOT_FOUND", message: `no such stack: ${JSON.stringify(stack)}` });
  }
  return [...new Set([...requested, ...ofStack])];
}

function compareByName(a: { service?: Service | undefined }, b: { service?: Service | undefined }): number {
  return (a.service?.spec?.name ?? "") < (b.service?.spec?.name ?? "") ? -1 : 1;
}
