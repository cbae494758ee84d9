import { type JsonObject, readEnum, readNumber, readText } from "../json.js";
import { slotKey, type Task } from "./task.js";

const PROGRESS = ["new", "outdated", "updating", "monitoring", "updated", "failed"] as const;

/** How far a slot is in a rollout. */
export type SlotProgress = (typeof PROGRESS)[number];

/** A slot of a service with a rollout. */
export interface Slot {
  /** "SERVICE_ID/SLOT", or "SERVICE_ID/NODE_ID" for a global service. */
  readonly key: string;
  readonly serviceId: string;
  readonly slot: number;
  readonly nodeId: string;
  readonly progress: SlotProgress | undefined;
  /**
   * While monitoring: when the slot counts as updated. While updating: when the rollout stops waiting for the slot. 0
   * when neither depends on time alone.
   */
  readonly untilMs: number;
  readonly reason: string;
}

export function decodeSlot(json: JsonObject): Slot | undefined {
  const key = readText(json, "key");
  if (key === "") return undefined;
  return {
    key,
    serviceId: readText(json, "serviceId"),
    slot: readNumber(json, "slot"),
    nodeId: readText(json, "nodeId"),
    progress: readEnum(json, "progress", { prefix: "PROGRESS_", values: PROGRESS, fallback: undefined }),
    untilMs: readNumber(json, "untilMs"),
    reason: readText(json, "reason"),
  };
}

/** A slot with its tasks, for a table. */
export interface SlotRow {
  readonly key: string;
  readonly slot: number;
  readonly nodeId: string;
  /** Undefined without a rollout. */
  readonly rollout: Slot | undefined;
  /** The newest task of the slot. */
  readonly task: Task | undefined;
  /** An earlier task that has not stopped yet. */
  readonly stopping: Task | undefined;
}

/** Returns the slots of a service, by number or by node. */
export function slotRows(slots: readonly Slot[], tasks: readonly Task[]): readonly SlotRow[] {
  const tasksBySlot = new Map<string, Task[]>();
  for (const task of tasks.toSorted((a, b) => b.createdAtMs - a.createdAtMs)) {
    const key = slotKey(task);
    tasksBySlot.set(key, [...(tasksBySlot.get(key) ?? []), task]);
  }
  const rollouts = new Map(slots.map((slot) => [slot.key, slot]));
  return [...new Set([...rollouts.keys(), ...tasksBySlot.keys()])]
    .map((key): SlotRow => {
      const rollout = rollouts.get(key);
      const [task, stopping] = tasksBySlot.get(key) ?? [];
      return {
        key,
        slot: rollout?.slot ?? task?.slot ?? 0,
        nodeId: rollout?.nodeId || (task?.nodeId ?? ""),
        rollout,
        task,
        stopping,
      };
    })
    .sort((a, b) => a.slot - b.slot || (a.key < b.key ? -1 : 1));
}
