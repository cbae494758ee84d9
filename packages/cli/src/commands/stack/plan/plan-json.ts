import { type DeployPlan, type PlannedStep, PlannedStep_Kind, type ServicePlan } from "@berth/proto";
import { fileOutcomesJson } from "../../../output/files.js";
import { networkOutcomeJson } from "../../../output/networks.js";
import { outcomeName } from "../../../output/state-names.js";

const STEP_NAMES = new Map<PlannedStep_Kind, string>([
  [PlannedStep_Kind.CREATE, "create"],
  [PlannedStep_Kind.REPLACE, "replace"],
  [PlannedStep_Kind.STOP, "stop"],
]);

/** Returns the JSON form of a plan, for `berth stack deploy --dry-run -o json`. */
export function planJson(stack: string, { rev, services, networks, files }: DeployPlan): unknown {
  return {
    stack,
    planRev: rev,
    networks: networks.map(networkOutcomeJson),
    ...fileOutcomesJson(files),
    services: services.map(serviceJson),
  };
}

function serviceJson({ kind, steps, ...service }: ServicePlan): unknown {
  return { ...service, outcome: outcomeName(kind), steps: steps.map(stepJson) };
}

function stepJson({ kind, ...step }: PlannedStep): unknown {
  return { ...step, kind: STEP_NAMES.get(kind) ?? "unknown" };
}
