import { HandoverSnapshot } from "@berth/proto";
import { formatDnsConfig, parseDnsConfig } from "../messages/dns-messages.js";
import { formatListener, parseListeners } from "../messages/listener-messages.js";
import type { HandoverState, UdpFlowRecord } from "./state.js";

/** How long each side waits for the other. A process starts within 100 ms, or a few seconds on a busy host. */
export const HANDOVER_TIMEOUT_MS = 8_000;

/**
 * Messages from an ingress process (the source) to its successor, over Node's IPC channel.
 *
 * Order of the messages in both directions:
 * 1. The successor sends `ready`.
 * 2. The source sends its flows, its sockets and the snapshot.
 * 3. The successor opens its listeners and sends `prepared`.
 * 4. The source sends the flows that started meanwhile, stops reading datagrams and sends `receive`.
 * 5. The successor starts to read datagrams and sends `serving`.
 * 6. The source releases what it owns in the kernel and sends `released`.
 *
 * Each `socket` and `flow` message carries its handle. A successor ignores messages of unknown kinds.
 */
export type SourceMessage =
  | { readonly kind: "flow"; readonly flow: UdpFlowRecord }
  | { readonly kind: "socket"; readonly key: string }
  /** A `HandoverSnapshot` in base64: the two processes may be of different releases. */
  | { readonly kind: "snapshot"; readonly bytes: string }
  /** The source has stopped reading datagrams. */
  | { readonly kind: "receive" }
  /** The source has released the lock, the control socket and the kernel's table. */
  | { readonly kind: "released" };

/** Messages from the successor to the source. */
export type SuccessorMessage =
  /** Sent when the successor can receive the state. */
  | { readonly kind: "ready" }
  /** All listeners are open: the successor accepts connections and DNS queries. */
  | { readonly kind: "prepared" }
  /** Sent when the successor reads datagrams. */
  | { readonly kind: "serving" };

/** The part of the state that is sent as bytes. */
export type Snapshot = Pick<HandoverState, "table" | "suspectNodeIds" | "dns" | "activeVips">;

/** Encodes a snapshot in base64. */
export function encodeSnapshot({ table, suspectNodeIds, dns, activeVips }: Snapshot): string {
  const message: HandoverSnapshot = {
    listeners: { version: table.version, listeners: table.listeners.map(formatListener) },
    suspectNodes: [...suspectNodeIds],
    dns: formatDnsConfig(dns),
    activeVips: [...activeVips],
  };
  return Buffer.from(HandoverSnapshot.encode(message).finish()).toString("base64");
}

/**
 * Decodes a snapshot.
 *
 * @throws Error if the bytes are not a valid snapshot
 */
export function decodeSnapshot(bytes: string): Snapshot {
  const message = HandoverSnapshot.decode(Buffer.from(bytes, "base64"));
  const { listeners = { version: 0, listeners: [] }, suspectNodes, activeVips } = message;
  return {
    table: { version: listeners.version, listeners: parseListeners(listeners.listeners).listeners },
    suspectNodeIds: suspectNodes,
    dns: parseDnsConfig(message.dns ?? { networks: [], entries: [], clients: [] }),
    activeVips,
  };
}
