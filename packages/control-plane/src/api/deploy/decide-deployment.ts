import type { NetworkOutcome, NetworkSpec, ServiceOutcome, ServiceSpec } from "@berth/proto";
import { DEFAULT_NETWORK_POOL, type NetworkPool } from "../../core/allocator/address-pool.js";
import { type ClaimLookup, pickPorts, portConflicts } from "../../core/endpoints/published-ports.js";
import type { Decision } from "../../reconciler/writer.js";
import type { ClusterState } from "../../state/cluster-state.js";
import { PortClaims } from "../../state/service-table.js";
import { acceptRemoval, acceptSpec } from "./accept-spec.js";
import { decideNetworks, leavingNetworks, type NetworkDecision, removeNetworks } from "./decide-networks.js";
import { networkWarnings, resolveNetworks } from "./resolve-networks.js";
import { type ServiceViolation, violationsError } from "./violations.js";

export interface StackDeployment {
  readonly stack: string;
  /** Valid by themselves, with their defaults. */
  readonly specs: readonly ServiceSpec[];
  /** Of the stack. Absent: none. */
  readonly networks?: readonly NetworkSpec[];
  /** Where networks get their subnets. */
  readonly pool?: NetworkPool;
  readonly prune: boolean;
}

export interface DeployOutcome {
  readonly services: readonly ServiceOutcome[];
  readonly networks: readonly NetworkOutcome[];
  /** For a person. */
  readonly warnings: readonly string[];
}

export interface DeployContext {
  readonly now: number;
  readonly newId: () => string;
  /** From 0 up to 1, anew at each call. Absent: 0. */
  readonly random?: () => number;
}

/** A spec and the service that it is for, new or not. */
export interface ServiceTarget {
  readonly id: string;
  readonly spec: ServiceSpec;
}

/**
 * What deploying a stack changes.
 * @throws BerthError BERTH_SPEC_INVALID with everything that is wrong about networks, BERTH_PORT_IN_USE with every port
 * that another service has
 */
export function decideDeployment(
  deployment: StackDeployment,
  state: ClusterState,
  context: DeployContext,
): Decision<DeployOutcome> {
  const { now, newId } = context;
  const intro = `Stack ${deployment.stack} was not deployed`;
  const networks = networksOf(deployment, state, { ...context, intro });
  const targets = deployment.specs.map((spec) => ({
    // A name without a service was left by a deployment that was cut off: it is completed under the same id.
    id: state.services.byName(spec.name)?.id ?? state.ownerOf(spec.name) ?? newId(),
    spec: asForced(spec, state.services.byName(spec.name)?.spec),
  }));
  const leaving = leavingServices(deployment, state);
  const joined = resolveNetworks(targets, { state, made: networks.byName, intro });
  const settled = resolvePorts(joined, { state, leaving, intro });
  const accepted = [
    ...settled.map(({ id, spec }) => acceptSpec(state, spec, { id, now })),
    ...(deployment.prune ? leaving : []).flatMap((id) => {
      const service = state.services.get(id);
      return service === undefined ? [] : [acceptRemoval(service, now)];
    }),
  ];
  return {
    // Networks first: a deployment that is cut off leaves no service without its own.
    changes: [...networks.changes, ...accepted.flatMap(({ changes }) => changes)],
    result: {
      services: accepted.map(({ outcome }) => outcome),
      networks: networks.outcomes,
      warnings: networkWarnings(settled, state),
    },
  };
}

function networksOf(
  { stack, specs, networks = [], pool = DEFAULT_NETWORK_POOL, prune }: StackDeployment,
  state: ClusterState,
  { now, newId, random = () => 0, intro }: DeployContext & { readonly intro: string },
): Pick<NetworkDecision, "changes" | "outcomes" | "byName"> {
  const made = decideNetworks(networks, { state, pool, now, newId, random });
  if (made.violations.length > 0) throw violationsError("BERTH_SPEC_INVALID", intro, made.violations);
  const joined = new Set(specs.flatMap(({ task }) => (task?.networks ?? []).map(({ network }) => network)));
  const others = leavingNetworks(stack, state).filter(({ spec }) => {
    const name = spec?.name ?? "";
    return !made.byName.has(name) && !joined.has(name);
  });
  const gone = removeNetworks(prune ? others : []);
  return {
    byName: made.byName,
    changes: [...made.changes, ...gone.changes],
    outcomes: [...made.outcomes, ...gone.outcomes],
  };
}

/** A file knows nothing of updates that were forced, and must not undo them: that would replace all tasks once more. */
function asForced(spec: ServiceSpec, previous: ServiceSpec | undefined): ServiceSpec {
  const forceUpdate = previous?.task?.forceUpdate ?? 0;
  if (spec.task === undefined || spec.task.forceUpdate >= forceUpdate) return spec;
  return { ...spec, task: { ...spec.task, forceUpdate } };
}

/** Services of the stack that the deployment does not name and that go, or are going already. */
function leavingServices({ stack, specs, prune }: StackDeployment, state: ClusterState): readonly string[] {
  const named = new Set(specs.map(({ name }) => name));
  return [...state.services.ofStack(stack).values()]
    .filter((service) => !named.has(service.spec?.name ?? "") && (prune || service.removing))
    .map(({ id }) => id);
}

/**
 * Gives every port that leaves the choice to us its number, and checks that nobody else has any of them.
 * @throws BerthError BERTH_PORT_IN_USE with every port that another service has
 */
export function resolvePorts(
  targets: readonly ServiceTarget[],
  {
    state,
    leaving,
    intro,
  }: { readonly state: ClusterState; readonly leaving: readonly string[]; readonly intro: string },
): readonly ServiceTarget[] {
  const planned = new PortClaims();
  for (const { id, spec } of targets) planned.add(id, spec);
  const replaced = new Set([...targets.map(({ id }) => id), ...leaving]);
  const claimsOn: ClaimLookup = (protocol, published) => [
    ...state.services.ports.on(protocol, published).filter(({ serviceId }) => !replaced.has(serviceId)),
    ...planned.on(protocol, published),
  ];
  const violations: ServiceViolation[] = [];
  const settled = targets.map(({ id, spec }) => {
    const picked = pickPorts(spec, { previous: state.services.get(id)?.spec, claimsOn });
    if (picked.kind === "exhausted") {
      violations.push({ service: spec.name, ...picked.violation });
      return { id, spec };
    }
    planned.remove(id, spec);
    planned.add(id, picked.spec);
    return { id, spec: picked.spec };
  });
  for (const { id, spec } of settled) {
    for (const violation of portConflicts(spec, { serviceId: id, claimsOn })) {
      violations.push({ service: spec.name, ...violation });
    }
  }
  if (violations.length > 0) {
    throw violationsError("BERTH_PORT_IN_USE", intro, violations);
  }
  return settled;
}
