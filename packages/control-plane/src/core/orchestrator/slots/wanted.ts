import type { Task } from "@berth/proto";
import type { Slot, SlotRef } from "../../model/slots.js";

/** How the slots of a service compare with those it should have. */
export interface Wanted {
  readonly keep: readonly Slot[];
  /** Slots that are to go with everything in them. */
  readonly retire: readonly Slot[];
  /** Slots that do not exist yet. */
  readonly fresh: readonly SlotRef[];
  /** NEW tasks of a global service: they belong to no node yet, so to no slot. */
  readonly unbound: readonly Task[];
}
