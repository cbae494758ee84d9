import { assertNever, type ServiceSummary } from "@berth/proto";
import { rolloutText } from "./rollouts.js";

/** Names of modes in tables, filters and JSON. Scripts compare them, so they must not change. */
export const MODE_NAMES = ["replicated", "global", "replicated-job", "global-job"] as const;

export type ModeName = (typeof MODE_NAMES)[number];

export function modeName({ service }: Pick<ServiceSummary, "service">): ModeName {
  const mode = service?.spec?.mode;
  switch (mode?.$case) {
    case "global":
      return "global";
    case "replicatedJob":
      return "replicated-job";
    case "globalJob":
      return "global-job";
    case "replicated":
    case undefined:
      return "replicated";
    default:
      return assertNever(mode);
  }
}

/** Returns the number of tasks of a job that must complete. For a global job, counts completed and unfinished tasks. */
export function jobTaskTotal({ service, completed, desired }: ServiceSummary): number {
  const mode = service?.spec?.mode;
  return mode?.$case === "replicatedJob" ? mode.value.totalCompletions : completed + desired;
}

/** Returns `2/3`, or `3/5 completed` for a job, followed by limits and the rollout state in parentheses. */
export function replicasText(summary: ServiceSummary): string {
  const { service, running, desired, completed } = summary;
  const isJob = modeName(summary).endsWith("-job");
  const count = isJob ? `${completed}/${jobTaskTotal(summary)} completed` : `${running}/${desired}`;
  const max = service?.spec?.placement?.maxReplicasPerNode ?? 0;
  const autoscale = service?.spec?.autoscale;
  const notes = [
    isJob && running > 0 ? `${running} running` : "",
    max > 0 ? `max ${max} per node` : "",
    autoscale === undefined ? "" : `autoscale ${autoscale.min} to ${autoscale.max}`,
    service?.rollout === undefined ? "" : rolloutText(service.rollout, desired),
    service?.removing ? "removing" : "",
  ].filter((note) => note !== "");
  return notes.length === 0 ? count : `${count} (${notes.join(", ")})`;
}
