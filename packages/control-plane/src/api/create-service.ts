import {
  applySpecDefaults,
  BerthError,
  type CreateServiceRequest,
  type CreateServiceResponse,
  ResolveImage,
  type Service,
  type ServiceOutcome,
  ServiceOutcome_Kind,
  ServiceSpec,
  validateServiceSpec,
} from "@berth/proto";
import type { ApiContext } from "./api-context.js";
import { decideDeployment } from "./deploy/decide-deployment.js";
import { decideLogins, requireStackForLogins } from "./deploy/decide-logins.js";
import { pushedImageViolations, resolveDigests } from "./deploy/resolve-images.js";
import { violationsError } from "./deploy/violations.js";

/**
 * Creates a service. Idempotent: repeating the call has no effect, and the outcome is then UNCHANGED.
 *
 * @throws BerthError BERTH_SPEC_INVALID, BERTH_POLICY_DENIED or BERTH_PORT_IN_USE with every violation; BERTH_CONFLICT
 *   when another service has the name
 */
export async function createService(
  request: CreateServiceRequest,
  context: ApiContext,
  signal: AbortSignal,
): Promise<CreateServiceResponse> {
  const { writer, runtime, sealer, loginSealer } = context;
  const spec = applySpecDefaults(request.spec ?? ServiceSpec.fromPartial({}));
  const { name, stack } = spec;
  const credentials = request.registryLogins?.credentials ?? [];
  const errorPrefix = `service ${name} was not created`;
  const { pushedImages } = request;
  const violations = [
    ...validateServiceSpec(spec).map((violation) => ({ service: name, ...violation })),
    ...pushedImageViolations(pushedImages),
  ];
  if (violations.length > 0) throw violationsError("BERTH_SPEC_INVALID", errorPrefix, violations);
  requireStackForLogins(stack, credentials, errorPrefix);
  const mode = request.resolveImage || ResolveImage.ALWAYS;
  const images = await resolveDigests({ specs: [spec], mode, credentials, pushedImages }, context, signal);
  const accepted = await writer.submit((state) => {
    const nowMs = runtime.wallClockMs();
    const newId = (): string => runtime.newId();
    const deployment = { stack, specs: [spec], images, prune: false, errorPrefix };
    const { changes, result } = decideDeployment(deployment, state, { nowMs, newId, sealer, loginSealer });
    const outcome = requireNew(state.services.byName(name), result.services[0], errorPrefix);
    const logins = decideLogins(credentials, { stack, state, sealer: loginSealer, nowMs, newId });
    return { changes: [...logins.changes, ...changes], result: { ...result, outcome } };
  }, signal);
  return { service: accepted.outcome, warnings: [...accepted.warnings] };
}

/**
 * Returns the outcome if it creates the service or changes nothing.
 *
 * @throws BerthError BERTH_CONFLICT if the name belongs to a service that the request would change
 */
function requireNew(
  existing: Service | undefined,
  outcome: ServiceOutcome | undefined,
  errorPrefix: string,
): ServiceOutcome {
  if (outcome === undefined) {
    throw new Error(`${errorPrefix}: the decision returned no outcome for the service`);
  }
  const isRepeated = outcome.kind === ServiceOutcome_Kind.UNCHANGED;
  if (existing === undefined || existing.removing || isRepeated) return outcome;
  throw new BerthError({
    code: "BERTH_CONFLICT",
    message: `${errorPrefix}: the name belongs to service ${existing.id}; choose another name, or use berth service update`,
  });
}
