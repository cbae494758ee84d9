import {
  type JsonObject,
  readBoolean,
  readList,
  readNumber,
  readOptionalObject,
  readTexts,
} from "../json.js";
import { type ControlPlane, decodeControlPlane } from "../model/control-plane.js";
import { type ClusterEvent, decodeEvent } from "../model/event.js";
import { decodeNode, type Node } from "../model/node.js";
import { decodeService, type Service } from "../model/service.js";
import { decodeSlot, type Slot } from "../model/slot.js";
import { decodeTask, type ServiceNames, type Task } from "../model/task.js";

/** Where the web UI is in the stream of changes: the epoch grows with each leader, the sequence with each update. */
export interface Position {
  readonly epoch: number;
  readonly sequence: number;
}

/** The change from one view of the cluster to the next. The records in it are complete. */
export interface ClusterUpdate {
  /** Undefined when further parts of a snapshot follow. */
  readonly position: Position | undefined;
  /** The first part of a snapshot: it replaces all records. */
  readonly isSnapshot: boolean;
  readonly hasMore: boolean;
  /** The leader's clock. */
  readonly nowMs: number;
  /** Undefined when unchanged. */
  readonly controlPlane: ControlPlane | undefined;
  readonly nodes: readonly Node[];
  readonly removedNodes: readonly string[];
  readonly services: readonly Service[];
  readonly removedServices: readonly string[];
  readonly tasks: readonly Task[];
  readonly removedTasks: readonly string[];
  readonly slots: readonly Slot[];
  readonly removedSlots: readonly string[];
  readonly events: readonly ClusterEvent[];
  readonly areEventsMissing: boolean;
}

/**
 * Reads an update from its JSON form. Records without an ID are left out.
 *
 * @param knownServiceName returns the names of services that the update does not contain
 */
export function decodeUpdate(json: JsonObject, knownServiceName: ServiceNames): ClusterUpdate {
  const position = readOptionalObject(json, "position");
  const cluster = readOptionalObject(json, "cluster");
  const services = decodeAll(json, "services", decodeService);
  const names = new Map(services.map(({ id, name }) => [id, name]));
  const serviceNameOf = (id: string): string => names.get(id) ?? knownServiceName(id);
  return {
    position: position && {
      epoch: readNumber(position, "epoch"),
      sequence: readNumber(position, "sequence"),
    },
    isSnapshot: readBoolean(json, "isSnapshot"),
    hasMore: readBoolean(json, "hasMore"),
    nowMs: readNumber(json, "nowMs"),
    controlPlane: cluster && decodeControlPlane(cluster),
    nodes: decodeAll(json, "nodes", decodeNode),
    removedNodes: readTexts(json, "removedNodes"),
    services,
    removedServices: readTexts(json, "removedServices"),
    tasks: decodeAll(json, "tasks", (task) => decodeTask(task, serviceNameOf)),
    removedTasks: readTexts(json, "removedTasks"),
    slots: decodeAll(json, "slots", decodeSlot),
    removedSlots: readTexts(json, "removedSlots"),
    events: readList(json, "events").map(decodeEvent),
    areEventsMissing: readBoolean(json, "areEventsMissing"),
  };
}

function decodeAll<T>(
  json: JsonObject,
  key: string,
  decode: (item: JsonObject) => T | undefined,
): readonly T[] {
  return readList(json, key).flatMap((item) => decode(item) ?? []);
}
