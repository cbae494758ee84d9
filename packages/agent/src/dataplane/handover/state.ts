import type { DnsTable } from "../dns/dns-table.js";
import type { IngressTable } from "../table/ingress-table.js";

/** What an ingress process needs to go on in place of another one. */
export interface HandoverState {
  readonly table: IngressTable;
  readonly suspects: readonly string[];
  readonly names: DnsTable;
  /** Virtual IPs that the kernel balances at the moment. */
  readonly activeVips: readonly string[];
  /** Handles, by what each is for. */
  readonly sockets: ReadonlyMap<string, unknown>;
  /** Flows of datagrams, the most recently used first. */
  readonly flows: readonly UdpFlowHandle[];
}

/** A client's flow of datagrams through a listener to an endpoint. */
export interface UdpFlowRecord {
  readonly listener: string;
  readonly client: string;
  readonly endpoint: string;
  readonly isAnswered: boolean;
  readonly idleMs: number;
}

export interface UdpFlowHandle {
  readonly record: UdpFlowRecord;
  /** Of its socket to the endpoint: the endpoint sees the same port as before. */
  readonly handle: unknown;
}
