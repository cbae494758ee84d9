import {
  applySpecDefaults,
  BerthError,
  ResolveImage,
  type RollbackServiceRequest,
  type RollbackServiceResponse,
  type Service,
  type ServiceSpec,
  type UpdateServiceRequest,
  type UpdateServiceResponse,
  validateServiceSpec,
} from "@berth/proto";
import type { FileSealer } from "../core/files/apply-file.js";
import type { VersionChoice } from "../core/files/resolve-file-versions.js";
import { rollbackTarget } from "../core/orchestrator/rollback.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { ApiContext } from "./api-context.js";
import {
  decideCompanions,
  followingCompanions,
  requireOwners,
  withCurrentReplicas,
} from "./deploy/decide-companions.js";
import { decideLogins, requireStackForLogins } from "./deploy/decide-logins.js";
import { decideSpec, type ServiceDecision } from "./deploy/decide-spec.js";
import { requirePermitted } from "./deploy/require-permitted.js";
import { resolveFiles } from "./deploy/resolve-files.js";
import {
  type ImageResolutions,
  pushedImageViolations,
  resolveDigests,
  resolveImages,
} from "./deploy/resolve-images.js";
import { resolveNetworks } from "./deploy/resolve-networks.js";
import { resolvePorts } from "./deploy/resolve-ports.js";
import { violationsError } from "./deploy/violations.js";
import { findService } from "./lookup.js";

/**
 * Replaces the spec of one service.
 *
 * @throws BerthError BERTH_SPEC_INVALID, BERTH_POLICY_DENIED or BERTH_PORT_IN_USE with every violation; BERTH_CONFLICT
 *   when the service is not at the expected version
 */
export async function updateService(
  request: UpdateServiceRequest,
  context: ApiContext,
  signal: AbortSignal,
): Promise<UpdateServiceResponse> {
  const { writer, runtime, sealer, loginSealer } = context;
  const { spec: current } = findService(context.state, request.service);
  const mode = request.resolveImage || (request.force ? ResolveImage.ALWAYS : ResolveImage.CHANGED);
  const credentials = request.registryLogins?.credentials ?? [];
  // A request that changes the name or stack fails later. Until then, it must not use the logins of that stack.
  const requested = request.spec ?? current;
  const isOfService = requested?.name === current?.name && requested?.stack === current?.stack;
  const specs = requested === undefined || !isOfService ? [] : [requested];
  const { pushedImages } = request;
  const violations = pushedImageViolations(pushedImages);
  if (violations.length > 0) {
    throw violationsError("BERTH_SPEC_INVALID", `service ${request.service} was not updated`, violations);
  }
  const images = await resolveDigests({ specs, mode, credentials, pushedImages }, context, signal);
  const accepted = await writer.submit((state) => {
    const service = findService(state, request.service);
    requireChangeable(service, request.expectedVersion);
    const errorPrefix = `service ${serviceName(service)} was not updated`;
    const spec = resolveSpec(service, request, errorPrefix);
    requireStackForLogins(service.spec?.stack ?? "", credentials, errorPrefix);
    const files: VersionChoice = request.force ? { kind: "newest" } : { kind: "keep", current: service.spec };
    const nowMs = runtime.wallClockMs();
    const replacement = { spec, files, images, sealer, errorPrefix, nowMs };
    const { changes, outcome, warnings } = replaceSpec(state, service, replacement);
    const newId = (): string => runtime.newId();
    const logins = decideLogins(credentials, { stack: spec.stack, state, sealer: loginSealer, nowMs, newId });
    return { changes: [...logins.changes, ...changes], result: { outcome, warnings } };
  }, signal);
  return { service: accepted.outcome, warnings: [...accepted.warnings] };
}

/**
 * Rolls a service back by writing the spec of an earlier version as a new version.
 *
 * @throws BerthError BERTH_NOT_FOUND if the version is not kept; BERTH_POLICY_DENIED; BERTH_PORT_IN_USE
 */
export async function rollbackService(
  request: RollbackServiceRequest,
  { writer, runtime, sealer }: ApiContext,
  signal: AbortSignal,
): Promise<RollbackServiceResponse> {
  const { outcome, version } = await writer.submit((state) => {
    const service = findService(state, request.service);
    requireChangeable(service);
    const { version, spec } = findEarlierVersion(service, request.toVersion, state);
    const { changes, outcome } = replaceSpec(state, service, {
      spec: withCurrentReplicas(spec, state),
      files: { kind: "restore" },
      sealer,
      errorPrefix: `service ${serviceName(service)} was not rolled back`,
      nowMs: runtime.wallClockMs(),
      rollbackMessage: `rolled back to version ${version} as requested`,
    });
    return { changes, result: { outcome, version } };
  }, signal);
  return { service: outcome, restoredVersion: version };
}

interface ReplaceSpecOptions {
  readonly spec: ServiceSpec;
  readonly files: VersionChoice;
  readonly sealer: FileSealer | undefined;
  /** Digests of the images. Undefined to keep the digest in the spec, as a rollback does. */
  readonly images?: ImageResolutions;
  /** First part of the error message, which says what failed. */
  readonly errorPrefix: string;
  readonly nowMs: number;
  /** The message of the rollout. Set for a rollback only. */
  readonly rollbackMessage?: string;
}

function replaceSpec(
  state: ClusterState,
  { id }: Service,
  { spec, files, sealer, images, errorPrefix, nowMs, rollbackMessage }: ReplaceSpecOptions,
): ServiceDecision & { readonly warnings: readonly string[] } {
  const companions = followingCompanions([spec], state);
  requirePermitted([spec, ...companions], state, errorPrefix);
  requireOwners([spec, ...companions], { state, errorPrefix });
  const unresolved = { targets: [{ id, spec }], warnings: [] };
  const withImages = images === undefined ? unresolved : resolveImages(unresolved.targets, images, state);
  const withFiles = resolveFiles(withImages.targets, { state, sealer, errorPrefix, choiceFor: () => files });
  const withNetworks = resolveNetworks(withFiles, { state, errorPrefix });
  const [target] = resolvePorts(withNetworks, { state, removed: [], errorPrefix });
  const decision = decideSpec(state, target?.spec ?? spec, {
    id,
    nowMs,
    rollbackMessage,
  });
  const changes = [...decision.changes, ...decideCompanions(companions, state, nowMs)];
  return { ...decision, changes, warnings: withImages.warnings };
}

/** @throws BerthError BERTH_INPUT_INVALID while the service is being removed; BERTH_CONFLICT at another version */
function requireChangeable(service: Service, expectedVersion = 0): void {
  if (service.removing) {
    throw new BerthError({
      code: "BERTH_INPUT_INVALID",
      message: `service ${serviceName(service)} is being removed; deploy its stack to create it again`,
    });
  }
  if (expectedVersion === 0 || expectedVersion === service.version) return;
  throw new BerthError({
    code: "BERTH_CONFLICT",
    message: `service ${serviceName(service)} is at version ${service.version}, not ${expectedVersion}; inspect the change and try again`,
    details: { version: String(service.version) },
  });
}

/**
 * Returns the requested spec with defaults applied.
 *
 * @throws BerthError BERTH_SPEC_INVALID with every violation
 */
function resolveSpec(service: Service, request: UpdateServiceRequest, errorPrefix: string): ServiceSpec {
  const requested = request.spec ?? service.spec;
  if (requested === undefined) throw new Error(`service ${service.id} has no spec`);
  const spec = applySpecDefaults(request.force ? withForceUpdate(requested, service) : requested);
  const violations = validateServiceSpec(spec).map((found) => ({ service: spec.name, ...found }));
  for (const field of ["name", "stack"] as const) {
    if (spec[field] === service.spec?.[field]) continue;
    violations.push({
      service: serviceName(service),
      path: field,
      message: `the ${field} of a service cannot be changed`,
    });
  }
  if (violations.length > 0) throw violationsError("BERTH_SPEC_INVALID", errorPrefix, violations);
  return spec;
}

/** Increments the stored counter of forced updates. The caller's spec may have an outdated counter. */
function withForceUpdate(spec: ServiceSpec, service: Service): ServiceSpec {
  if (spec.task === undefined) return spec;
  const forceUpdate = (service.spec?.task?.forceUpdate ?? 0) + 1;
  return { ...spec, task: { ...spec.task, forceUpdate } };
}

function findEarlierVersion(
  service: Service,
  requested: number,
  state: ClusterState,
): { readonly version: number; readonly spec: ServiceSpec } {
  const revisions = state.services.versions.ofService(service.id);
  const target = rollbackTarget(service, requested, revisions);
  if (target.kind === "found") return target;
  const keptVersions = [...revisions.keys()].sort((a, b) => a - b);
  throw new BerthError({
    code: "BERTH_NOT_FOUND",
    message: `service ${serviceName(service)} was not rolled back: ${target.reason} (current version ${service.version}, kept versions ${keptVersions.join(", ")})`,
    details: { versions: keptVersions.join(",") },
  });
}

function serviceName(service: Service): string {
  return service.spec?.name ?? service.id;
}
