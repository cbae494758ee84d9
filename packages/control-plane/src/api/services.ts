import {
  BerthError,
  type GetServiceRequest,
  type GetServiceResponse,
  type ListServicesRequest,
  type ListServicesResponse,
  MAX_REPLICAS,
  type RemoveServicesRequest,
  type RemoveServicesResponse,
  type ScaleServicesRequest,
  type ScaleServicesResponse,
  type Service,
  type ServiceScale,
} from "@berth/proto";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { ApiContext } from "./api-context.js";
import { type Accepted, acceptRemoval, acceptSpec } from "./deploy/accept-spec.js";
import { networksRemovedWith, removeNetworks } from "./deploy/decide-networks.js";
import { type ServiceViolation, violationsError } from "./deploy/violations.js";
import { findService } from "./lookup.js";
import { serviceRevisions, serviceSummary } from "./summaries.js";

export function listServices(
  { stack }: ListServicesRequest,
  { state, runtime }: ApiContext,
): ListServicesResponse {
  const services = stack === "" ? state.services.values() : state.services.ofStack(stack).values();
  return {
    services: [...services]
      .map((service) => serviceSummary(state, service, runtime.wallClockMs()))
      .sort(byName),
  };
}

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

/** Sets the replicas of services, all or none. @throws BerthError BERTH_INPUT_INVALID with every violation */
export async function scaleServices(
  request: ScaleServicesRequest,
  { writer, runtime }: ApiContext,
  signal: AbortSignal,
): Promise<ScaleServicesResponse> {
  const accepted = await writer.submit((state) => {
    const now = runtime.wallClockMs();
    const scaled = checkedScales(request.services, state).map(({ service, replicas }) =>
      acceptScale(state, service, { replicas, now }),
    );
    return { changes: changesOf(scaled), result: scaled };
  }, signal);
  return { services: accepted.map(({ outcome }) => outcome) };
}

/** Marks services for removal and returns before they are gone. Succeeds for services that are already being removed. */
export async function removeServices(
  request: RemoveServicesRequest,
  { writer, runtime }: ApiContext,
  signal: AbortSignal,
): Promise<RemoveServicesResponse> {
  const { services, networks } = await writer.submit((state) => {
    const removed = servicesToRemove(request, state).map((service) =>
      acceptRemoval(service, runtime.wallClockMs()),
    );
    const ofStack = removeNetworks(request.stack === "" ? [] : networksRemovedWith(request.stack, state));
    return {
      changes: [...changesOf(removed), ...ofStack.changes],
      result: { services: removed.map(({ outcome }) => outcome), networks: [...ofStack.outcomes] },
    };
  }, signal);
  return { services, networks };
}

function changesOf(accepted: readonly Accepted[]): readonly Change[] {
  return accepted.flatMap(({ changes }) => changes);
}

interface Scale {
  readonly service: Service;
  readonly replicas: number;
}

const WITHOUT_REPLICAS = {
  global: "a global service runs one task on each node and has no replicas",
  globalJob: "a global job runs one task on each node and has no replicas",
  replicatedJob: "a job has no replicas; change its completions instead",
} as const;

function checkedScales(scales: readonly ServiceScale[], state: ClusterState): readonly Scale[] {
  const resolved = scales.map(({ service, replicas }) => ({
    service: findService(state, service),
    replicas,
  }));
  const seen = new Set<string>();
  const violations: ServiceViolation[] = [];
  for (const { service, replicas } of resolved) {
    const report = (message: string): void => {
      violations.push({ service: service.spec?.name ?? service.id, path: "", message });
    };
    const { mode, autoscale } = service.spec ?? {};
    if (mode?.$case !== "replicated") report(WITHOUT_REPLICAS[mode?.$case ?? "global"]);
    else if (autoscale !== undefined) {
      const { min, max } = autoscale;
      report(`the service scales itself between ${min} and ${max} replicas; change these limits instead`);
    }
    const fixed = service.spec?.task?.networks.find(({ ipv4Address }) => ipv4Address !== "");
    if (fixed !== undefined && replicas > 1) {
      report(
        `the service has the static address ${fixed.ipv4Address}, which only one replica can have; remove it first`,
      );
    }
    if (service.removing) report("the service is being removed");
    if (replicas > MAX_REPLICAS) report(`too many replicas (${replicas}, maximum ${MAX_REPLICAS})`);
    if (seen.has(service.id)) report("the service is named twice");
    seen.add(service.id);
  }
  if (violations.length > 0)
    throw violationsError("BERTH_INPUT_INVALID", "no service was scaled", violations);
  return resolved;
}

function acceptScale(
  state: ClusterState,
  service: Service,
  { replicas, now }: { readonly replicas: number; readonly now: number },
): Accepted {
  const { spec } = service;
  if (spec === undefined) throw new Error(`service ${service.id} has no spec`);
  return acceptSpec(
    state,
    { ...spec, mode: { $case: "replicated", value: { replicas } } },
    { id: service.id, now },
  );
}

function servicesToRemove(
  { services, stack }: RemoveServicesRequest,
  state: ClusterState,
): readonly Service[] {
  const named = services.map((reference) => findService(state, reference));
  const ofStack = stack === "" ? [] : [...state.services.ofStack(stack).values()];
  if (stack !== "" && ofStack.length === 0 && state.networks.ofStack(stack).size === 0) {
    throw new BerthError({ code: "BERTH_NOT_FOUND", message: `no such stack: ${JSON.stringify(stack)}` });
  }
  return [...new Set([...named, ...ofStack])];
}

function byName(a: { service?: Service | undefined }, b: { service?: Service | undefined }): number {
  return (a.service?.spec?.name ?? "") < (b.service?.spec?.name ?? "") ? -1 : 1;
}
