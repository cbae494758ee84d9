import type { Estate, FlowRecord } from "./estate.js";

/** What an ingress process says to its successor, in this order; each `socket` and `flow` comes with its handle. */
export type Bequest =
  | { readonly kind: "flow"; readonly flow: FlowRecord }
  | { readonly kind: "socket"; readonly key: string }
  | ({ readonly kind: "table" } & Omit<Estate, "sockets" | "flows">)
  /** The lock, the control socket and what only one process can have are free. */
  | { readonly kind: "yours" };

/** What the successor says. */
export type HeirReply =
  | { readonly kind: "ready" }
  /** New connections, datagrams and questions are taken here. */
  | { readonly kind: "serving" };

/** Of both sides: a process starts within 100 ms, on a busy host within some seconds. */
export const HANDOVER_DEADLINE_MS = 8_000;
