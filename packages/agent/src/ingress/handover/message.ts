import type { IngressTable } from "../table.js";

/** What an ingress process says to its successor, in this order; each `port` comes with its listening socket. */
export type Bequest =
  | { readonly kind: "port"; readonly key: string }
  | { readonly kind: "table"; readonly table: IngressTable; readonly suspects: readonly string[] }
  /** The lock, the control socket and what only one process can have are free. */
  | { readonly kind: "yours" };

/** What the successor says. */
export type HeirReply =
  | { readonly kind: "ready" }
  /** New connections are accepted here. */
  | { readonly kind: "serving" };

/** Of both sides: a process starts within 100 ms, on a busy host within some seconds. */
export const HANDOVER_DEADLINE_MS = 8_000;
