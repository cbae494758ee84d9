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
import type { ClusterState } from "../state/cluster-state.js";
import type { ApiContext } from "./api-context.js";
import { type Accepted, acceptRemoval, acceptSpec } from "./deploy/accept-spec.js";
import { leavingNetworks, removeNetworks } from "./deploy/decide-networks.js";
import { type ServiceViolation, violationsError } from "./deploy/violations.js";
import { findService } from "./lookup.js";
import { serviceRevisions, serviceSummary } from "./summaries.js";

export function listServices({ stack }: ListServicesRequest, { state }: ApiContext): ListServicesResponse {
  const services = stack === "" ? state.services.values() : state.services.ofStack(stack).values();
  return { services: [...services].map((service) => serviceSummary(state, service)).sort(byName) };
}

export function getService(request: GetServiceRequest, { state, ingress }: ApiContext): GetServiceResponse {
  const service = findService(state, request.service);
  return {
    service: serviceSummary(state, service),
    ingress: [...ingress.ofService(service.id)],
    revisions: [...serviceRevisions(state, service.id)],
  };
}

/** @throws BerthError BERTH_INPUT_INVALID with everything that is wrong; nothing is written then */
export async function scaleServices(
  request: ScaleServicesRequest,
  { writer, runtime }: ApiContext,
  signal: AbortSignal,
): Promise<ScaleServicesResponse> {
  const accepted = await writer.submit((state) => {
    const scales = resolveScales(request.services, state);
    const now = runtime.now();
    return bundle(scales.map(({ service, replicas }) => scaled(state, service, { replicas, now })));
  }, signal);
  return { services: accepted.map(({ outcome }) => outcome) };
}

/** Marks services for removal and returns; services that are being removed already are no error. */
export async function removeServices(
  request: RemoveServicesRequest,
  { writer, runtime }: ApiContext,
  signal: AbortSignal,
): Promise<RemoveServicesResponse> {
  const { services, networks } = await writer.submit((state) => {
    const { changes, result } = bundle(
      toRemove(request, state).map((service) => acceptRemoval(service, runtime.now())),
    );
    const leaving = removeNetworks(request.stack === "" ? [] : leavingNetworks(request.stack, state));
    return {
      changes: [...changes, ...leaving.changes],
      result: { services: result.map(({ outcome }) => outcome), networks: [...leaving.outcomes] },
    };
  }, signal);
  return { services, networks };
}

function bundle(accepted: readonly Accepted[]): {
  changes: Accepted["changes"];
  result: readonly Accepted[];
} {
  return { changes: accepted.flatMap(({ changes }) => changes), result: accepted };
}

interface ResolvedScale {
  readonly service: Service;
  readonly replicas: number;
}

const NO_REPLICAS = {
  global: "it runs one task on each node and has no replicas",
  globalJob: "it is a job that runs one task on each node and has no replicas",
  replicatedJob: "it is a job: change its completions instead",
} as const;

function resolveScales(scales: readonly ServiceScale[], state: ClusterState): readonly ResolvedScale[] {
  const resolved = scales.map((scale) => ({
    service: findService(state, scale.service),
    replicas: scale.replicas,
  }));
  const seen = new Set<string>();
  const violations: ServiceViolation[] = [];
  for (const { service, replicas } of resolved) {
    const refuse = (message: string): void => {
      violations.push({ service: service.spec?.name ?? service.id, path: "", message });
    };
    const { mode, autoscale } = service.spec ?? {};
    if (mode?.$case !== "replicated") refuse(NO_REPLICAS[mode?.$case ?? "global"]);
    else if (autoscale !== undefined) {
      const { min, max } = autoscale;
      refuse(`it scales itself between ${min} and ${max} replicas: change these bounds instead`);
    }
    const fixed = service.spec?.task?.networks.find(({ ipv4Address }) => ipv4Address !== "");
    if (fixed !== undefined && replicas > 1) {
      refuse(`it has the address ${fixed.ipv4Address} for one replica: take that from it first`);
    }
    if (service.removing) refuse("it is being removed");
    if (replicas > MAX_REPLICAS) refuse(`${replicas} replicas are too many, ${MAX_REPLICAS} are possible`);
    if (seen.has(service.id)) refuse("it is named twice");
    seen.add(service.id);
  }
  if (violations.length > 0) throw violationsError("BERTH_INPUT_INVALID", "Nothing was scaled", violations);
  return resolved;
}

function scaled(
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

function toRemove({ services, stack }: RemoveServicesRequest, state: ClusterState): readonly Service[] {
  const named = services.map((reference) => findService(state, reference));
  const ofStack = stack === "" ? [] : [...state.services.ofStack(stack).values()];
  if (stack !== "" && ofStack.length === 0 && state.networks.ofStack(stack).size === 0) {
    throw new BerthError({
      code: "BERTH_NOT_FOUND",
      message: `There is no stack ${JSON.stringify(stack)}: no service belongs to it.`,
    });
  }
  return [...new Set([...named, ...ofStack])];
}

function byName(a: { service?: Service | undefined }, b: { service?: Service | undefined }): number {
  return (a.service?.spec?.name ?? "") < (b.service?.spec?.name ?? "") ? -1 : 1;
}
