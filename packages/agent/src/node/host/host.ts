import type { HostListener } from "@berth/proto";
import { listenersByCount } from "./listeners-by-count.js";
import { pidLimit } from "./pid-limit.js";
import { readListeners } from "./read-listeners.js";
import { socketCounts } from "./socket-counts.js";

/** What a host has and shows. */
export interface Host {
  /** Countable things that its administrator declared, by kind. */
  readonly generic: Readonly<Record<string, number>>;
  /** Processes and threads that it can have. 0: not known. */
  pidLimit(): Promise<number>;
  /** Every socket that waits for peers, in no order. */
  listeners(): Promise<readonly HostListener[]>;
}

/** This host, as its kernel shows it. */
export const linuxHost = (generic: Host["generic"]): Host => ({
  generic,
  pidLimit: () => pidLimit(),
  listeners: listenersByCount({ read: () => readListeners(), counts: () => socketCounts() }),
});
