import {
  applySpecDefaults,
  type DeployStackRequest,
  type DeployStackResponse,
  type NetworkSpec,
  type ServiceSpec,
  stackNameProblem,
  validateServiceSpec,
} from "@berth/proto";
import type { ApiContext } from "./api-context.js";
import { decideDeployment } from "./deploy/decide-deployment.js";
import { type ServiceViolation, violationsError } from "./deploy/violations.js";
import { planDeployment } from "./plan/plan-deployment.js";
import { checkPlanRev } from "./plan/plan-revision.js";

/** One request is one message of at most 64 MiB and is decided upon without a pause. */
const MAX_SERVICES = 1_000;
const MAX_NETWORKS = 256;

/**
 * Makes the services of a stack what the request says, or says what that would be. Nothing is written unless all of
 * it is valid.
 * @throws BerthError BERTH_SPEC_INVALID or BERTH_PORT_IN_USE with every violation, BERTH_PLAN_CHANGED when it would
 * do something else than the plan that the request names
 */
export async function deployStack(
  request: DeployStackRequest,
  { state: known, writer, runtime, networkPool: pool }: ApiContext,
  signal: AbortSignal,
): Promise<DeployStackResponse> {
  const { stack, prune, dryRun, planRev, networks } = request;
  const specs = request.services.map(applySpecDefaults);
  const violations = [...stackViolations(stack, specs), ...networkViolations(stack, networks)];
  if (violations.length > 0) {
    throw violationsError("BERTH_SPEC_INVALID", `Stack ${stack} was not deployed`, violations);
  }
  const deployment = { stack, specs, networks, pool, prune };
  if (dryRun) {
    const { plan, warnings } = planDeployment(deployment, known, runtime.now());
    return { services: [], networks: [], plan, warnings: [...warnings] };
  }
  const outcome = await writer.submit((state) => {
    const now = runtime.now();
    if (planRev !== "") checkPlanRev(planRev, planDeployment(deployment, state, now), stack);
    return decideDeployment(deployment, state, {
      now,
      newId: () => runtime.newId(),
      random: () => runtime.random(),
    });
  }, signal);
  return {
    services: [...outcome.services],
    networks: [...outcome.networks],
    plan: undefined,
    warnings: [...outcome.warnings],
  };
}

/** What is wrong with networks beside what is wrong with each by itself. */
function networkViolations(stack: string, networks: readonly NetworkSpec[]): readonly ServiceViolation[] {
  if (networks.length > MAX_NETWORKS) {
    const message = `a stack has at most ${MAX_NETWORKS} networks, this one ${networks.length}`;
    return [{ service: "", path: "", message }];
  }
  const seen = new Set<string>();
  return networks.flatMap(({ name, stack: owner }) => {
    const found: ServiceViolation[] = [];
    const say = (path: string, message: string): void =>
      void found.push({ service: `network ${name}`, path, message });
    if (owner !== stack) say("stack", `the network belongs to stack ${JSON.stringify(owner)}`);
    if (seen.has(name)) say("name", "the name is used twice");
    seen.add(name);
    return found;
  });
}

function stackViolations(stack: string, specs: readonly ServiceSpec[]): readonly ServiceViolation[] {
  const about = (message: string | undefined): readonly ServiceViolation[] =>
    message === undefined ? [] : [{ service: "", path: "", message }];
  const count = specs.length;
  if (count > MAX_SERVICES) return about(`a stack has at most ${MAX_SERVICES} services, this one ${count}`);
  const seen = new Set<string>();
  return [
    ...about(stackNameProblem(stack)),
    ...specs.flatMap((spec) => {
      const found = [...validateServiceSpec(spec)];
      if (spec.stack !== stack) {
        found.push({ path: "stack", message: `the service belongs to stack ${JSON.stringify(spec.stack)}` });
      }
      if (seen.has(spec.name)) found.push({ path: "name", message: "the name is used twice" });
      seen.add(spec.name);
      return found.map((violation) => ({ service: spec.name, ...violation }));
    }),
  ];
}
