import {
  type FileContent,
  type FileOutcome,
  type NetworkOutcome,
  type NetworkSpec,
  type RegistryCredentials,
  ResolveImage,
  type ServiceOutcome,
  type ServiceSpec,
} from "@berth/proto";
import { DEFAULT_NETWORK_POOL, type NetworkPool } from "../../core/allocator/address-pool.js";
import type { FileSealer } from "../../core/files/apply-file.js";
import { fileKey, fileMounts } from "../../core/files/file-mounts.js";
import type { LoginSealer } from "../../core/registries/registry-logins.js";
import type { Decision } from "../../reconciler/writer.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";
import { requireOwners } from "./decide-companions.js";
import { decideFileRemoval, decideFiles, type FileDecision, findFilesRemovedWith } from "./decide-files.js";
import { decideLoginRemoval, decideStackLogins } from "./decide-logins.js";
import {
  decideNetworkRemoval,
  decideNetworks,
  findNetworksRemovedWith,
  type NetworkDecision,
} from "./decide-networks.js";
import { decideRemoval, decideSpec } from "./decide-spec.js";
import { requirePermitted } from "./require-permitted.js";
import { resolveFiles } from "./resolve-files.js";
import { type ImageResolutions, resolveImages } from "./resolve-images.js";
import { networkWarnings, resolveNetworks } from "./resolve-networks.js";
import { resolvePorts } from "./resolve-ports.js";
import { violationsError } from "./violations.js";

export interface StackDeployment {
  readonly stack: string;
  /** First part of error messages, which says what failed. Default: the stack. */
  readonly errorPrefix?: string;
  /** Validated, and with defaults applied. */
  readonly specs: readonly ServiceSpec[];
  /** The networks of the stack. Default: none. */
  readonly networks?: readonly NetworkSpec[];
  /** Address ranges from which new networks get their subnets. */
  readonly pool?: NetworkPool;
  /** The secrets and configs of the stack. Default: none. */
  readonly files?: readonly FileContent[];
  /** Validated credentials that replace the stack's own registry logins. Undefined to keep the logins. */
  readonly credentials?: readonly RegistryCredentials[] | undefined;
  /** The digests of the images. Default: no image is resolved. */
  readonly images?: ImageResolutions;
  /** Whether to remove services, networks, secrets and configs of the stack that are not in the request. */
  readonly prune: boolean;
}

export interface DeployOutcome {
  readonly services: readonly ServiceOutcome[];
  readonly networks: readonly NetworkOutcome[];
  readonly files: readonly FileOutcome[];
  /** Warnings to show to the user. */
  readonly warnings: readonly string[];
}

export interface DeployContext {
  readonly nowMs: number;
  readonly newId: () => string;
  /** Returns a number in [0, 1). Default: always 0. */
  readonly random?: () => number;
  /** Encrypts secrets and configs. Undefined if the server has no cluster key; it then stores none. */
  readonly sealer?: FileSealer | undefined;
  /** Encrypts registry logins. Undefined if the server has no cluster key; it then stores none. */
  readonly loginSealer?: LoginSealer | undefined;
}

const UNRESOLVED_IMAGES: ImageResolutions = { mode: ResolveImage.NEVER, byImage: new Map() };

/** A spec and the ID of its service, which may be new. */
export interface ServiceTarget {
  readonly id: string;
  readonly spec: ServiceSpec;
}

/**
 * Returns the changes that deploy a stack.
 *
 * @throws BerthError BERTH_POLICY_DENIED with all settings that the policy denies, BERTH_SPEC_INVALID with all
 *   violations in networks, secrets, configs and owners of services, or BERTH_PORT_IN_USE with all ports that other
 *   services publish
 */
export function decideDeployment(
  deployment: StackDeployment,
  state: ClusterState,
  context: DeployContext,
): Decision<DeployOutcome> {
  const { nowMs, newId, sealer } = context;
  const errorPrefix = deployment.errorPrefix ?? `stack ${deployment.stack} was not deployed`;
  requirePermitted(deployment.specs, state, errorPrefix);
  const files = fileChanges(deployment, state, { ...context, errorPrefix });
  const networks = networkChanges(deployment, state, { ...context, errorPrefix });
  const logins = loginChanges(deployment, state, context);
  const targets = deployment.specs.map((spec) => ({
    // A name without a service is left over from an interrupted deployment. The new one continues with the same ID.
    id: state.services.byName(spec.name)?.id ?? state.serviceIdOf(spec.name) ?? newId(),
    spec: withForceUpdate(spec, state.services.byName(spec.name)?.spec),
  }));
  const removed = removedServices(deployment, state);
  requireOwners(deployment.specs, { state, errorPrefix, removed });
  const withImages = resolveImages(targets, deployment.images ?? UNRESOLVED_IMAGES, state);
  const withFiles = resolveFiles(withImages.targets, {
    state,
    sealer,
    errorPrefix,
    declared: files.byKey,
    choiceFor: ({ id }) => ({ kind: "keep", current: state.services.get(id)?.spec }),
  });
  const withNetworks = resolveNetworks(withFiles, { state, newNetworks: networks.byName, errorPrefix });
  const resolved = resolvePorts(withNetworks, { state, removed, errorPrefix });
  const accepted = [
    ...resolved.map(({ id, spec }) => decideSpec(state, spec, { id, nowMs })),
    ...(deployment.prune ? removed : []).flatMap((id) => {
      const service = state.services.get(id);
      return service === undefined ? [] : [decideRemoval(service, nowMs)];
    }),
  ];
  return {
    // Files, networks and logins come first, so that an interrupted deployment leaves no service without them.
    changes: [
      ...files.changes,
      ...networks.changes,
      ...logins,
      ...accepted.flatMap(({ changes }) => changes),
    ],
    result: {
      services: accepted.map(({ outcome }) => outcome),
      networks: networks.outcomes,
      files: files.outcomes,
      warnings: [...withImages.warnings, ...networkWarnings(resolved, state)],
    },
  };
}

function fileChanges(
  { stack, specs, files = [], prune }: StackDeployment,
  state: ClusterState,
  { nowMs, newId, sealer, errorPrefix }: DeployContext & { readonly errorPrefix: string },
): Pick<FileDecision, "changes" | "outcomes" | "byKey"> {
  const applied = decideFiles(
    files.map((file) => ({ ...file, stack })),
    { state, sealer, nowMs, newId },
  );
  if (applied.violations.length > 0) {
    throw violationsError("BERTH_SPEC_INVALID", errorPrefix, applied.violations);
  }
  const mounted = new Set(specs.flatMap((spec) => fileMounts(spec).map(fileKey)));
  const unused = findFilesRemovedWith(stack, state).filter((file) => {
    const key = fileKey(file);
    return !applied.byKey.has(key) && !mounted.has(key);
  });
  const removed = decideFileRemoval(prune ? unused : []);
  return {
    byKey: applied.byKey,
    changes: [...applied.changes, ...removed.changes],
    outcomes: [...applied.outcomes, ...removed.outcomes],
  };
}

function loginChanges(
  { stack, specs, credentials, prune }: StackDeployment,
  state: ClusterState,
  { nowMs, newId, loginSealer: sealer }: DeployContext,
): readonly Change[] {
  if (prune && specs.length === 0) {
    return decideLoginRemoval([stack], new Set(state.services.ofStack(stack).keys()), state);
  }
  if (credentials === undefined) return [];
  return decideStackLogins(credentials, { stack, state, sealer, nowMs, newId });
}

function networkChanges(
  { stack, specs, networks = [], pool = DEFAULT_NETWORK_POOL, prune }: StackDeployment,
  state: ClusterState,
  { nowMs, newId, random = () => 0, errorPrefix }: DeployContext & { readonly errorPrefix: string },
): Pick<NetworkDecision, "changes" | "outcomes" | "byName"> {
  const applied = decideNetworks(networks, { state, pool, nowMs, newId, random });
  if (applied.violations.length > 0) {
    throw violationsError("BERTH_SPEC_INVALID", errorPrefix, applied.violations);
  }
  const joined = new Set(specs.flatMap(({ task }) => (task?.networks ?? []).map(({ network }) => network)));
  const unused = findNetworksRemovedWith(stack, state).filter(({ spec }) => {
    const name = spec?.name ?? "";
    return !applied.byName.has(name) && !joined.has(name);
  });
  const removed = decideNetworkRemoval(prune ? unused : []);
  return {
    byName: applied.byName,
    changes: [...applied.changes, ...removed.changes],
    outcomes: [...applied.outcomes, ...removed.outcomes],
  };
}

/** Keeps the counter of forced updates. A Compose file does not contain it, and a reset would replace all tasks. */
function withForceUpdate(spec: ServiceSpec, previous: ServiceSpec | undefined): ServiceSpec {
  const forceUpdate = previous?.task?.forceUpdate ?? 0;
  if (spec.task === undefined || spec.task.forceUpdate >= forceUpdate) return spec;
  return { ...spec, task: { ...spec.task, forceUpdate } };
}

/** Returns the IDs of the stack's services that the deployment removes, or that are being removed already. */
function removedServices({ stack, specs, prune }: StackDeployment, state: ClusterState): readonly string[] {
  const deployedNames = new Set(specs.map(({ name }) => name));
  return [...state.services.ofStack(stack).values()]
    .filter((service) => !deployedNames.has(service.spec?.name ?? "") && (prune || service.removing))
    .map(({ id }) => id);
}
