import {
  applySpecDefaults,
  BerthError,
  type Service,
  type ServiceSpec,
  type UpdateServiceRequest,
  type UpdateServiceResponse,
  validateServiceSpec,
} from "@berth/proto";
import type { ApiContext } from "./api-context.js";
import { acceptSpec } from "./deploy/accept-spec.js";
import { resolvePorts } from "./deploy/decide-deployment.js";
import { resolveNetworks } from "./deploy/resolve-networks.js";
import { violationsError } from "./deploy/violations.js";
import { findService } from "./lookup.js";

/**
 * Replaces the spec of one service.
 * @throws BerthError BERTH_SPEC_INVALID or BERTH_PORT_IN_USE with every violation, BERTH_CONFLICT when it was changed
 * since the expected version
 */
export async function updateService(
  request: UpdateServiceRequest,
  { writer, runtime }: ApiContext,
  signal: AbortSignal,
): Promise<UpdateServiceResponse> {
  const accepted = await writer.submit((state) => {
    const service = findService(state, request.service);
    checkChangeable(service, request.expectedVersion);
    const intro = `Service ${nameOf(service)} was not updated`;
    const spec = checkedSpec(service, request, intro);
    const wanted = resolveNetworks([{ id: service.id, spec }], { state, intro });
    const [target] = resolvePorts(wanted, { state, leaving: [], intro });
    const result = acceptSpec(state, target?.spec ?? spec, { id: service.id, now: runtime.now() });
    return { changes: result.changes, result };
  }, signal);
  return { service: accepted.outcome };
}

/** @throws BerthError BERTH_CONFLICT, BERTH_INPUT_INVALID */
export function checkChangeable(service: Service, expectedVersion = 0): void {
  if (service.removing) {
    throw new BerthError({
      code: "BERTH_INPUT_INVALID",
      message: `Service ${nameOf(service)} is being removed. Deploy its stack to have it again.`,
    });
  }
  if (expectedVersion === 0 || expectedVersion === service.version) return;
  throw new BerthError({
    code: "BERTH_CONFLICT",
    message: `Service ${nameOf(service)} was changed meanwhile: it is at version ${service.version}, not ${expectedVersion}. Look at it and try again.`,
    details: { version: String(service.version) },
  });
}

function checkedSpec(service: Service, request: UpdateServiceRequest, intro: string): ServiceSpec {
  const asked = request.spec ?? service.spec;
  if (asked === undefined) throw new Error(`service ${service.id} has no spec`);
  const spec = applySpecDefaults(request.force ? forced(asked, service) : asked);
  const violations = validateServiceSpec(spec).map((found) => ({ service: spec.name, ...found }));
  for (const part of ["name", "stack"] as const) {
    if (spec[part] === service.spec?.[part]) continue;
    violations.push({ service: nameOf(service), path: part, message: `a service keeps its ${part}` });
  }
  if (violations.length > 0) throw violationsError("BERTH_SPEC_INVALID", intro, violations);
  return spec;
}

/** One more than what is stored, whatever the caller had read. */
function forced(spec: ServiceSpec, service: Service): ServiceSpec {
  if (spec.task === undefined) return spec;
  const forceUpdate = (service.spec?.task?.forceUpdate ?? 0) + 1;
  return { ...spec, task: { ...spec.task, forceUpdate } };
}

export const nameOf = (service: Service): string => service.spec?.name ?? service.id;
