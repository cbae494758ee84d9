import type { DnsTable } from "../dns/dns-table.js";
import type { IngressTable } from "../table/ingress-table.js";

/** The complete state that an ingress process needs to replace its predecessor. */
export interface HandoverState {
  readonly table: IngressTable;
  /** IDs of suspect nodes. */
  readonly suspectNodeIds: readonly string[];
  readonly dns: DnsTable;
  /** Virtual IPs that the kernel balances. */
  readonly activeVips: readonly string[];
  /** Handles of the sockets of listeners, by listener key, and of the DNS server, by protocol and address. */
  readonly sockets: ReadonlyMap<string, unknown>;
  /** UDP flows, the most recently used first. */
  readonly flows: readonly UdpFlowHandle[];
}

/** A client's UDP flow through a listener to an endpoint. */
export interface UdpFlowRecord {
  readonly listener: string;
  readonly client: string;
  readonly endpoint: string;
  readonly isAnswered: boolean;
  readonly idleMs: number;
}

export interface UdpFlowHandle {
  readonly record: UdpFlowRecord;
  /** Handle of the flow's socket: the endpoint keeps seeing the same source port. */
  readonly handle: unknown;
}
