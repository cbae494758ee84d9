import type { HandoverState, UdpFlowRecord } from "./state.js";

/**
 * What an ingress process says to its successor: flows, sockets and the table; when that is `prepared`, the flows that
 * have begun since, and `yours-to-read`. Each `socket` and `flow` comes with its handle.
 */
export type SourceMessage =
  | { readonly kind: "flow"; readonly flow: UdpFlowRecord }
  | { readonly kind: "socket"; readonly key: string }
  | ({ readonly kind: "table" } & Omit<HandoverState, "sockets" | "flows">)
  /** No more datagrams of clients are read here. */
  | { readonly kind: "yours-to-read" }
  /** The lock, the control socket and what only one process can have are free. */
  | { readonly kind: "yours" };

/** What the successor says. */
export type SuccessorMessage =
  | { readonly kind: "ready" }
  /** All that was given is in place; connections and questions are taken here, too. */
  | { readonly kind: "prepared" }
  /** Datagrams of clients are read here. */
  | { readonly kind: "serving" };

/** Of both sides: a process starts within 100 ms, on a busy host within some seconds. */
export const HANDOVER_DEADLINE_MS = 8_000;
