import type { ServiceSpec } from "@berth/proto";
import type { ModeWord, ServiceDraft } from "./keys/service-draft.js";

const DEFAULT_REPLICAS = 1;

/**
 * How often a service runs. As `docker stack deploy` reads it, the replicas of a job are its completions and how many
 * of them may go on at once. A service that runs by the clock is a job without being called one; one that scales
 * itself begins with the least that it may have.
 */
export function assembleMode({ mode, spec }: ServiceDraft): NonNullable<ServiceSpec["mode"]> {
  const word: ModeWord = mode.word ?? (spec.cron === undefined ? "replicated" : "replicated-job");
  switch (word) {
    case "global":
      return { $case: "global", value: {} };
    case "global-job":
      return { $case: "globalJob", value: {} };
    case "replicated-job": {
      const completions = mode.replicas ?? DEFAULT_REPLICAS;
      return { $case: "replicatedJob", value: { totalCompletions: completions, maxConcurrent: completions } };
    }
    case "replicated":
      return {
        $case: "replicated",
        value: { replicas: mode.replicas ?? spec.autoscale?.min ?? DEFAULT_REPLICAS },
      };
  }
}
