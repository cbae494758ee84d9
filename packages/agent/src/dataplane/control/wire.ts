import type { DnsTable } from "../dns/dns-table.js";
import type { IngressMode } from "../kernel/ingress-mode.js";
import type { IngressProgram } from "../spawn.js";
import type {
  ApplyResult,
  IngressStats,
  IngressStatus,
  IngressTable,
  ListenerError,
} from "../table/ingress-table.js";
import type { TableDelta } from "../table/table-delta.js";

/** Raised when a message changes its meaning; a process that speaks another version is asked to retire. */
export const PROTOCOL_VERSION = 4;

/** What the agent says to the ingress process, one JSON object a line. */
export type IngressRequest =
  | {
      readonly kind: "apply";
      readonly id: number;
      readonly table: IngressTable;
      /** Listeners that make no sense: reported, while the others serve. */
      readonly invalid: readonly ListenerError[];
    }
  /** Refused when another table serves than the one that it changes. */
  | (TableDelta & {
      readonly kind: "change";
      readonly id: number;
      readonly invalid: readonly ListenerError[];
    })
  /** Nodes whose endpoints get no new connections where there are others; all of them, each time. */
  | { readonly kind: "suspect"; readonly id: number; readonly nodes: readonly string[] }
  /** The names that containers of this host can use, as a whole. */
  | { readonly kind: "names"; readonly id: number; readonly names: DnsTable }
  /** Counters, those of the kernel included. */
  | { readonly kind: "stats"; readonly id: number }
  | { readonly kind: "condition"; readonly id: number }
  /** Listen no more, let the connections end, then exit. */
  | { readonly kind: "retire"; readonly id: number }
  /** The same, once the process that this program starts accepts connections on the same sockets. */
  | { readonly kind: "hand-over"; readonly id: number; readonly program: IngressProgram }
  /** Exit now. */
  | { readonly kind: "stop"; readonly id: number };

/** What the ingress process says; `hello` first and unasked. */
export type IngressReply =
  | {
      readonly kind: "hello";
      readonly protocol: number;
      readonly processId: number;
      readonly version: number;
      /** With which it was started. */
      readonly mode: IngressMode;
      /** Of berth; absent: one that cannot hand over. */
      readonly release?: string;
    }
  | { readonly kind: "applied"; readonly id: number; readonly result: ApplyResult }
  | { readonly kind: "stats"; readonly id: number; readonly stats: IngressStats }
  | { readonly kind: "condition"; readonly id: number; readonly condition: IngressStatus }
  | { readonly kind: "done"; readonly id: number }
  | { readonly kind: "refused"; readonly id: number; readonly message: string };

/** A table of 100,000 endpoints fits; a peer that sends more on one line is broken. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024;

/** The socket's name inside the data directory. */
export const SOCKET_NAME = "ingress.sock";
/** What the process prints, inside the data directory. */
export const LOG_NAME = "ingress.log";
