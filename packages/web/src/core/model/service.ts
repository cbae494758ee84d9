import {
  type JsonObject,
  readEnum,
  readList,
  readNumber,
  readNumbers,
  readOptionalObject,
  readText,
  readTexts,
} from "../json.js";

const ROLLOUT_STATES = [
  "updating",
  "paused",
  "completed",
  "rolling_back",
  "rollback_paused",
  "rollback_completed",
] as const;
const SERVICE_MODES = ["replicated", "global", "replicated_job", "global_job"] as const;

export type RolloutState = (typeof ROLLOUT_STATES)[number];
export type ServiceMode = (typeof SERVICE_MODES)[number];

/** The replacement of outdated tasks, slot by slot. */
export interface Rollout {
  readonly state: RolloutState;
  readonly fromVersion: number;
  readonly toVersion: number;
  /** When the rollout ended; 0 while it is in progress. */
  readonly endedAtMs: number;
  readonly updatedSlots: number;
  readonly failedCount: number;
  readonly message: string;
}

/** The last change of an autoscaled service. */
export interface Autoscale {
  readonly replicas: number;
  readonly changedAtMs: number;
  readonly message: string;
  readonly minReplicas: number;
  readonly maxReplicas: number;
}

export interface PublishedPort {
  readonly target: number;
  readonly published: number;
}

/** A service, and how far it is from its desired state. */
export interface Service {
  readonly id: string;
  readonly name: string;
  /** Empty for a service without a stack. */
  readonly stack: string;
  readonly mode: ServiceMode;
  readonly image: string;
  readonly version: number;
  readonly updatedAtMs: number;
  /** Number of tasks that should run. */
  readonly desired: number;
  /** Why the service has not converged. */
  readonly reasons: readonly string[];
  readonly ports: readonly PublishedPort[];
  readonly networks: readonly string[];
  readonly rollout: Rollout | undefined;
  /** When the rollout fails unless it makes progress. 0 if there is no deadline. */
  readonly rolloutDeadlineMs: number;
  readonly healthyVersions: readonly number[];
  readonly autoscale: Autoscale | undefined;
}

/** Reads a service from its JSON form. Returns undefined without an ID. */
export function decodeService(json: JsonObject): Service | undefined {
  const id = readText(json, "id");
  if (id === "") return undefined;
  return {
    id,
    name: readText(json, "name") || id,
    stack: readText(json, "stack"),
    mode: readEnum(json, "mode", { prefix: "MODE_", values: SERVICE_MODES, fallback: "replicated" as const }),
    image: readText(json, "image"),
    version: readNumber(json, "version"),
    updatedAtMs: readNumber(json, "updatedAtMs"),
    desired: readNumber(json, "desired"),
    reasons: readTexts(json, "reasons"),
    ports: readList(json, "ports").map((port) => ({
      target: readNumber(port, "target"),
      published: readNumber(port, "published"),
    })),
    networks: readTexts(json, "networks"),
    rollout: decodeRollout(readOptionalObject(json, "rollout")),
    rolloutDeadlineMs: readNumber(json, "rolloutDeadlineMs"),
    healthyVersions: readNumbers(json, "healthyVersions"),
    autoscale: decodeAutoscale(json),
  };
}

function decodeRollout(json: JsonObject | undefined): Rollout | undefined {
  if (json === undefined) return undefined;
  const state = readEnum(json, "state", { prefix: "STATE_", values: ROLLOUT_STATES, fallback: undefined });
  if (state === undefined) return undefined;
  return {
    state,
    fromVersion: readNumber(json, "fromVersion"),
    toVersion: readNumber(json, "toVersion"),
    endedAtMs: readNumber(json, "endedAtMs"),
    updatedSlots: readNumber(json, "updatedSlots"),
    failedCount: readNumber(json, "failedCount"),
    message: readText(json, "message"),
  };
}

function decodeAutoscale(json: JsonObject): Autoscale | undefined {
  const status = readOptionalObject(json, "autoscale");
  if (status === undefined) return undefined;
  return {
    replicas: readNumber(status, "replicas"),
    changedAtMs: readNumber(status, "changedAtMs"),
    message: readText(status, "message"),
    minReplicas: readNumber(json, "minReplicas"),
    maxReplicas: readNumber(json, "maxReplicas"),
  };
}

/** Returns whether a rollout is in progress. */
export function isRollingOut({ state }: Rollout): boolean {
  return state === "updating" || state === "rolling_back";
}
