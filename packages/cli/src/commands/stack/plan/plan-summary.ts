import {
  type DeployPlan,
  FileOutcome_Kind,
  NetworkOutcome_Kind,
  PlannedStep_Kind,
  ServiceOutcome_Kind,
} from "@berth/proto";
import { pluralize } from "../../../output/human.js";

/** Returns the last line of a plan, such as `1 service to create, 2 to update; 3 tasks to create, 6 to replace; 1 task without a node.` */
export function planSummary({ services, networks, files }: DeployPlan): string {
  const countServices = (kind: ServiceOutcome_Kind): number =>
    services.filter((service) => service.kind === kind).length;
  const steps = services.flatMap((service) => service.steps);
  const countSteps = (kind: PlannedStep_Kind): number => steps.filter((step) => step.kind === kind).length;
  const omitted = services.reduce((sum, { omittedSteps }) => sum + omittedSteps, 0);
  const serviceCounts = formatCounts("service", [
    [countServices(ServiceOutcome_Kind.CREATED), "to create"],
    [countServices(ServiceOutcome_Kind.UPDATED), "to update"],
    [countServices(ServiceOutcome_Kind.REMOVED), "to remove"],
  ]);
  const taskCounts = formatCounts("task", [
    [countSteps(PlannedStep_Kind.CREATE), "to create"],
    [countSteps(PlannedStep_Kind.REPLACE) + omitted, "to replace"],
    [countSteps(PlannedStep_Kind.STOP), "to stop"],
  ]);
  const unplaced = steps.filter(({ isUnplaced }) => isUnplaced).length;
  const parts = [serviceCounts, taskCounts].filter((part) => part !== "");
  if (parts.length === 0) {
    const changesOthers =
      networks.some(({ kind }) => kind !== NetworkOutcome_Kind.UNCHANGED) ||
      files.some(({ kind }) => kind !== FileOutcome_Kind.UNCHANGED);
    return changesOthers ? "No changes to services." : "No changes.";
  }
  return `${parts.join("; ")}${unplaced > 0 ? `; ${pluralize(unplaced, "task")} without a node` : ""}.`;
}

function formatCounts(noun: string, counts: readonly (readonly [count: number, label: string])[]): string {
  const nonZero = counts.filter(([count]) => count > 0);
  return nonZero
    .map(([count, label], index) => `${index === 0 ? pluralize(count, noun) : count} ${label}`)
    .join(", ");
}
