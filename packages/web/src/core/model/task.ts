import {
  type JsonObject,
  readBoolean,
  readEnum,
  readNumber,
  readOptionalNumber,
  readOptionalObject,
  readText,
} from "../json.js";

// Tasks as the web UI reads them from the API.

const TASK_STATES = [
  "new",
  "assigned",
  "preparing",
  "starting",
  "running",
  "complete",
  "failed",
  "shutdown",
  "rejected",
  "lost",
] as const;
const DESIRED_STATES = ["running", "shutdown", "remove"] as const;
const HEALTHS = ["starting", "healthy", "unhealthy", "unknown"] as const;

/** The observed state of a task. It only moves forward in this order. "complete" and all later states are final. */
export type TaskState = (typeof TASK_STATES)[number];
export type DesiredState = (typeof DESIRED_STATES)[number];
/** Undefined for a container without a healthcheck. */
export type Health = (typeof HEALTHS)[number] | undefined;

/** One attempt to fill a slot of a service on one node. */
export interface Task {
  readonly id: string;
  readonly serviceId: string;
  readonly serviceName: string;
  /** From 1. 0 for a task of a global service, whose slot is its node. */
  readonly slot: number;
  /** Empty while the task has no node. */
  readonly nodeId: string;
  readonly specVersion: number;
  readonly desiredState: DesiredState;
  readonly createdAtMs: number;
  /** Undefined for a state that this release of the web UI does not know. */
  readonly state: TaskState | undefined;
  /** Why the task is in this state. */
  readonly message: string;
  readonly sinceMs: number;
  readonly health: Health;
  readonly exitCode: number | undefined;
  /** Undefined when the task never ran. */
  readonly runningSinceMs: number | undefined;
  readonly restarts: number;
  /** Code of the reason. Empty for a reason without a code. */
  readonly errorCode: string;
  /** Whether the task runs an older template than its service has. */
  readonly isOutdated: boolean;
  readonly replaces: Replacement | undefined;
}

/** The task that a task replaces, and why. */
export interface Replacement {
  readonly taskId: string;
  readonly nodeId: string;
  readonly cause: ReplacementCause | undefined;
  readonly message: string;
}

const CAUSES = ["ended", "node_loss", "drain", "update", "unhealthy", "move"] as const;
export type ReplacementCause = (typeof CAUSES)[number];

/** Returns the name of a service, by its ID. */
export type ServiceNames = (serviceId: string) => string;

/** Reads a task from its JSON form. Returns undefined if it has no ID. */
export function decodeTask(json: JsonObject, serviceNameOf: ServiceNames): Task | undefined {
  const id = readText(json, "id");
  if (id === "") return undefined;
  const serviceId = readText(json, "serviceId");
  return {
    id,
    serviceId,
    serviceName: serviceNameOf(serviceId),
    slot: readNumber(json, "slot"),
    nodeId: readText(json, "nodeId"),
    specVersion: readNumber(json, "specVersion"),
    desiredState: readEnum(json, "desiredState", {
      prefix: "DESIRED_STATE_",
      values: DESIRED_STATES,
      fallback: "running" as const,
    }),
    createdAtMs: readNumber(json, "createdAtMs"),
    state: readState(json),
    message: readText(json, "message"),
    sinceMs: readNumber(json, "sinceMs"),
    health: readEnum(json, "health", { prefix: "HEALTH_", values: HEALTHS, fallback: undefined }),
    exitCode: readOptionalNumber(json, "exitCode"),
    runningSinceMs: readOptionalNumber(json, "runningSinceMs"),
    restarts: readNumber(json, "restarts"),
    errorCode: readText(json, "errorCode"),
    isOutdated: readBoolean(json, "isOutdated"),
    replaces: decodeReplacement(readOptionalObject(json, "replaces")),
  };
}

function decodeReplacement(json: JsonObject | undefined): Replacement | undefined {
  if (json === undefined) return undefined;
  return {
    taskId: readText(json, "taskId"),
    nodeId: readText(json, "nodeId"),
    cause: readEnum(json, "cause", { prefix: "CAUSE_", values: CAUSES, fallback: undefined }),
    message: readText(json, "message"),
  };
}

/** Reads the state of a task. JSON omits the default value, so a task without a state is new. */
function readState(json: JsonObject): TaskState | undefined {
  if (readText(json, "state") === "") return "new";
  return readEnum(json, "state", { prefix: "TASK_STATE_", values: TASK_STATES, fallback: undefined });
}

/** Returns whether the task has ended: its state cannot change any more. */
export function isEnded({ state }: Pick<Task, "state">): boolean {
  return state !== undefined && TASK_STATES.indexOf(state) >= TASK_STATES.indexOf("complete");
}

/** Returns the name that users know: "shop_web.3", or "shop_agent on h1" for a task without a slot. */
export function taskName({ serviceName, slot }: Pick<Task, "serviceName" | "slot">, hostname = ""): string {
  if (slot > 0) return `${serviceName}.${slot}`;
  return hostname === "" ? serviceName : `${serviceName} on ${hostname}`;
}

/** Returns the key of the slot that a task fills. A slot of a global service is a node. */
export function slotKey({ serviceId, slot, nodeId }: Pick<Task, "serviceId" | "slot" | "nodeId">): string {
  return `${serviceId}/${slot > 0 ? slot : nodeId}`;
}

const CAUSE_TEXTS: Readonly<Record<ReplacementCause, string>> = {
  ended: "it ended",
  node_loss: "its node was lost",
  drain: "its node is drained",
  update: "its service was updated",
  unhealthy: "it was unhealthy",
  move: "it was moved",
};

/** Returns why a task was replaced: "its node was lost: no heartbeat for 1.0 s". */
export function replacementText({ cause, message }: Replacement): string {
  const parts = [cause === undefined ? "" : CAUSE_TEXTS[cause], message];
  return parts.filter(Boolean).join(": ") || "replaced";
}
