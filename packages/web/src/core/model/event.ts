import { type JsonObject, readBoolean, readNumber, readText } from "../json.js";

/** An event of the cluster, as `berth events` prints it. */
export interface ClusterEvent {
  readonly epoch: number;
  /** Counts the events of an epoch. 0 for an event that was reconstructed from records. */
  readonly sequence: number;
  readonly timeMs: number;
  /** A stable code, such as "TASK_FAILED". */
  readonly reason: string;
  readonly message: string;
  readonly isWarning: boolean;
  readonly stack: string;
  readonly serviceId: string;
  readonly serviceName: string;
  readonly taskId: string;
  readonly slot: number;
  readonly nodeId: string;
  readonly hostname: string;
}

export function decodeEvent(json: JsonObject): ClusterEvent {
  return {
    epoch: readNumber(json, "epoch"),
    sequence: readNumber(json, "sequence"),
    timeMs: readNumber(json, "timeMs"),
    reason: readText(json, "reason"),
    message: readText(json, "message"),
    isWarning: readBoolean(json, "isWarning"),
    stack: readText(json, "stack"),
    serviceId: readText(json, "serviceId"),
    serviceName: readText(json, "serviceName"),
    taskId: readText(json, "taskId"),
    slot: readNumber(json, "slot"),
    nodeId: readText(json, "nodeId"),
    hostname: readText(json, "nodeHostname"),
  };
}

/** Returns the subject of an event: "shop_web.3 on h2", "shop_web", "node h2", or "" for the cluster. */
export function eventSubject(event: ClusterEvent): string {
  const { serviceName, slot, taskId, hostname } = event;
  if (serviceName === "") return hostname === "" ? "" : `node ${hostname}`;
  const name = taskId !== "" && slot > 0 ? `${serviceName}.${slot}` : serviceName;
  return taskId !== "" && hostname !== "" ? `${name} on ${hostname}` : name;
}

/** Returns the message of an event unless it only repeats the subject: "on h2". */
export function eventMessage({ message, hostname }: Pick<ClusterEvent, "message" | "hostname">): string {
  return message === `on ${hostname}` ? "" : message;
}

/** Returns "task failed" for "TASK_FAILED". */
export function eventText({ reason }: Pick<ClusterEvent, "reason">): string {
  return reason.toLowerCase().replaceAll("_", " ");
}
