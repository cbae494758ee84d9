import {
  BerthError,
  type RollbackServiceRequest,
  type RollbackServiceResponse,
  type Service,
  type ServiceSpec,
} from "@berth/proto";
import { type RollbackTarget, rollbackTarget } from "../core/orchestrator/rollback.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { ApiContext } from "./api-context.js";
import { acceptSpec } from "./deploy/accept-spec.js";
import { resolvePorts } from "./deploy/decide-deployment.js";
import { resolveNetworks } from "./deploy/resolve-networks.js";
import { findService } from "./lookup.js";
import { checkChangeable, nameOf } from "./update-service.js";

/**
 * Gives a service the spec of an earlier version again, as a new version, and replaces what runs anything else.
 * @throws BerthError BERTH_NOT_FOUND when there is no such version, BERTH_PORT_IN_USE
 */
export async function rollbackService(
  request: RollbackServiceRequest,
  { writer, runtime }: ApiContext,
  signal: AbortSignal,
): Promise<RollbackServiceResponse> {
  const { outcome, version } = await writer.submit((state) => {
    const service = findService(state, request.service);
    checkChangeable(service);
    const { version, spec } = found(service, request.toVersion, state);
    const intro = `Service ${nameOf(service)} was not rolled back`;
    const wanted = resolveNetworks([{ id: service.id, spec }], { state, intro });
    const [target] = resolvePorts(wanted, { state, leaving: [], intro });
    const { changes, outcome } = acceptSpec(state, target?.spec ?? spec, {
      id: service.id,
      now: runtime.now(),
      rollback: `rolled back to version ${version} as asked`,
    });
    return { changes, result: { outcome, version } };
  }, signal);
  return { service: outcome, restoredVersion: version };
}

function found(
  service: Service,
  asked: number,
  state: ClusterState,
): { readonly version: number; readonly spec: ServiceSpec } {
  const target: RollbackTarget = rollbackTarget(service, asked, state.services.versionsOf(service.id));
  if (target.kind === "found") return target;
  const kept = [...state.services.versionsOf(service.id).keys()].sort((a, b) => a - b);
  throw new BerthError({
    code: "BERTH_NOT_FOUND",
    message: `Service ${nameOf(service)} was not rolled back: ${target.why}. Kept versions: ${kept.join(", ")}; it is at ${service.version}.`,
    details: { versions: kept.join(",") },
  });
}
