import {
  applySpecDefaults,
  type DeployStackRequest,
  type DeployStackResponse,
  type FileContent,
  type NetworkSpec,
  ResolveImage,
  type ServiceSpec,
  stackNameProblem,
  type Violation,
  validateServiceSpec,
} from "@berth/proto";
import { describeFile } from "../core/files/file-mounts.js";
import type { ApiContext } from "./api-context.js";
import { decideDeployment } from "./deploy/decide-deployment.js";
import { loginViolations } from "./deploy/decide-logins.js";
import { pushedImageViolations, resolveDigests } from "./deploy/resolve-images.js";
import { type ServiceViolation, violationsError } from "./deploy/violations.js";
import { planDeployment } from "./plan/plan-deployment.js";
import { checkPlanRevision } from "./plan/plan-revision.js";

/** Maximum number of services in one request, which the leader processes in one step. */
const MAX_SERVICES = 1_000;

/** Maximum number of networks in one request. */
const MAX_NETWORKS = 256;

/** Maximum number of secrets and configs in one request. */
const MAX_FILES = 1_000;

/**
 * Deploys a stack, or returns the plan in a dry run. Nothing is written unless the whole request is valid.
 *
 * @throws BerthError BERTH_SPEC_INVALID, BERTH_POLICY_DENIED or BERTH_PORT_IN_USE with every violation;
 *   BERTH_PLAN_CHANGED if the plan no longer has the revision `planRev` of the request
 */
export async function deployStack(
  request: DeployStackRequest,
  context: ApiContext,
  signal: AbortSignal,
): Promise<DeployStackResponse> {
  const { state: current, writer, runtime, networkPool: pool, sealer, loginSealer } = context;
  const { stack, prune, dryRun, planRev, networks, files } = request;
  const credentials = request.registryLogins?.credentials;
  const specs = request.services.map(applySpecDefaults);
  const violations = [
    ...stackViolations(stack, specs),
    ...networkViolations(stack, networks),
    ...fileViolations(stack, files),
    ...loginViolations(credentials ?? []),
    ...pushedImageViolations(request.pushedImages),
  ];
  if (violations.length > 0) {
    throw violationsError("BERTH_SPEC_INVALID", `stack ${stack} was not deployed`, violations);
  }
  const mode = request.resolveImage || ResolveImage.ALWAYS;
  const { pushedImages } = request;
  const imageRequest = { specs, mode, credentials: credentials ?? [], pushedImages };
  const images = await resolveDigests(imageRequest, context, signal);
  const deployment = { stack, specs, networks, files, images, pool, prune };
  if (dryRun) {
    const { plan, warnings } = planDeployment(deployment, current, { nowMs: runtime.wallClockMs(), sealer });
    return { services: [], networks: [], files: [], plan, warnings: [...warnings] };
  }
  const outcome = await writer.submit((state) => {
    const nowMs = runtime.wallClockMs();
    if (planRev !== "") {
      checkPlanRevision(planRev, planDeployment(deployment, state, { nowMs, sealer }), stack);
    }
    // Credentials are not part of plans.
    return decideDeployment({ ...deployment, credentials }, state, {
      nowMs,
      newId: () => runtime.newId(),
      random: () => runtime.random(),
      sealer,
      loginSealer,
    });
  }, signal);
  return {
    services: [...outcome.services],
    networks: [...outcome.networks],
    files: [...outcome.files],
    plan: undefined,
    warnings: [...outcome.warnings],
  };
}

/** Checks the number of networks, their stack and duplicate names. `decideNetworks` validates each spec. */
function networkViolations(stack: string, networks: readonly NetworkSpec[]): readonly ServiceViolation[] {
  const count = networks.length;
  if (count > MAX_NETWORKS) {
    return requestViolation(`the stack has ${count} networks (maximum ${MAX_NETWORKS})`);
  }
  const seen = new Set<string>();
  return networks.flatMap(({ name, stack: owner }) => {
    const violations: Violation[] = [];
    if (owner !== stack) {
      violations.push({ path: "stack", message: `the network belongs to stack ${JSON.stringify(owner)}` });
    }
    if (seen.has(name)) violations.push({ path: "name", message: "duplicate name" });
    seen.add(name);
    return violations.map((violation) => ({ service: `network ${name}`, ...violation }));
  });
}

/** Checks the number of secrets and configs, and their stack. `decideFiles` validates each of them. */
function fileViolations(stack: string, files: readonly FileContent[]): readonly ServiceViolation[] {
  const count = files.length;
  if (count > MAX_FILES) {
    return requestViolation(`the stack has ${count} secrets and configs (maximum ${MAX_FILES})`);
  }
  return files.flatMap(({ kind, name, stack: owner }) => {
    if (owner === "" || owner === stack) return [];
    const message = `it belongs to stack ${JSON.stringify(owner)}`;
    return [{ service: describeFile({ kind, name }), path: "stack", message }];
  });
}

function stackViolations(stack: string, specs: readonly ServiceSpec[]): readonly ServiceViolation[] {
  const count = specs.length;
  if (count > MAX_SERVICES) {
    return requestViolation(`the stack has ${count} services (maximum ${MAX_SERVICES})`);
  }
  const nameProblem = stackNameProblem(stack);
  const seen = new Set<string>();
  return [
    ...(nameProblem === undefined ? [] : requestViolation(nameProblem)),
    ...specs.flatMap((spec) => {
      const violations = [...validateServiceSpec(spec)];
      if (spec.stack !== stack) {
        violations.push({
          path: "stack",
          message: `the service belongs to stack ${JSON.stringify(spec.stack)}`,
        });
      }
      if (seen.has(spec.name)) violations.push({ path: "name", message: "duplicate name" });
      seen.add(spec.name);
      return violations.map((violation) => ({ service: spec.name, ...violation }));
    }),
  ];
}

function requestViolation(message: string): readonly ServiceViolation[] {
  return [{ service: "", path: "", message }];
}
