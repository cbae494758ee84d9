import type { ServiceSummary } from "@berth/proto";
import { rolloutText } from "./rollouts.js";

/** The words for modes in tables, filters and JSON. They are part of the interface: scripts compare them. */
export type ModeName = "replicated" | "global" | "replicated-job" | "global-job";

export function modeName({ service }: Pick<ServiceSummary, "service">): ModeName {
  switch (service?.spec?.mode?.$case) {
    case "global":
      return "global";
    case "replicatedJob":
      return "replicated-job";
    case "globalJob":
      return "global-job";
    default:
      return "replicated";
  }
}

/** Tasks of a job that are to complete; a global one has as many as have, or are still to. */
export function jobTotal({ service, completed, desired }: ServiceSummary): number {
  const mode = service?.spec?.mode;
  return mode?.$case === "replicatedJob" ? mode.value.totalCompletions : completed + desired;
}

/** `2/3`, for a job `3/5 completed`; with what limits it and what is going on in parentheses. */
export function replicasText(summary: ServiceSummary): string {
  const { service, running, desired, completed } = summary;
  const isJob = modeName(summary).endsWith("-job");
  const count = isJob ? `${completed}/${jobTotal(summary)} completed` : `${running}/${desired}`;
  const max = service?.spec?.placement?.maxReplicasPerNode ?? 0;
  const autoscale = service?.spec?.autoscale;
  const notes = [
    isJob && running > 0 ? `${running} running` : "",
    max > 0 ? `max ${max} per node` : "",
    autoscale === undefined ? "" : `scales ${autoscale.min} to ${autoscale.max}`,
    service?.rollout === undefined ? "" : rolloutText(service.rollout, desired),
    service?.removing ? "removing" : "",
  ].filter((note) => note !== "");
  return notes.length === 0 ? count : `${count} (${notes.join(", ")})`;
}
