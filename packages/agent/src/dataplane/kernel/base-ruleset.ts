import { TCP_TIMEOUT_POLICY } from "./conntrack-timeouts.js";
import type { Protocol } from "./kernel-service.js";
import { deleteTable } from "./nft.js";
import {
  BALANCED_MARK,
  MEMBER_KEY_TYPE,
  MEMBER_MAP_COUNT,
  markAnswered,
  memberMapNumber,
  TIMEOUT_OBJECT,
} from "./service-chain.js";
import { SYN_RETRANSMIT_RULES } from "./syn-retransmit.js";

/** The nftables table of published ports, of family `ip`. */
export const TABLE = "berth";
/** A chain of the table. When it is missing, the table was flushed. */
export const ENTRY_CHAIN = "incoming";
/** Counts connections for which the kernel found no endpoint. */
const NO_ENDPOINT_COUNTER = "fell-through";

/** Deletes the table, which need not exist. */
export const DELETE_TABLE = deleteTable(`ip ${TABLE}`);

/** Returns the map that holds the members of a service; always the same one for a service. */
export function memberMap(protocol: Protocol, service: string): string {
  return `${protocol}-members${memberMapNumber(service)}`;
}

/**
 * The maps of the members. The kernel validates each new member against every rule that uses its map: with one map per
 * protocol, loading 1,000 services took twice as long. The maps are typed by protocol because nft 1.0.6 cannot read back
 * a map of `th dport`.
 */
const MEMBER_MAPS = (["tcp", "udp"] as const)
  .flatMap((protocol) =>
    Array.from({ length: MEMBER_MAP_COUNT }, (_, index) => {
      return `  map ${protocol}-members${index} { typeof ${MEMBER_KEY_TYPE} : ip daddr . ${protocol} dport; }`;
    }),
  )
  .join("\n");

/** Sets of endpoints and subnets that services share. */
export type ElementSet = "remotes" | "locals" | "hairpins" | "neighbors";

/** The set of connections that go to the user-space proxy, since an endpoint did not accept them. */
export const RETRIED_SET = "again";

/** Verdict maps from a frontend to its service's chain. Their counters outlive endpoints. */
export const FRONTEND_MAPS = { port: "ports", bound: "bound" } as const;

/**
 * The part of the table that does not depend on services.
 *
 * - Priorities: -110 runs before Docker's DNAT (-100), 90 before its masquerading (100).
 * - Unanswered SYNs are tracked for 1 s, so that the client's retransmission goes to another endpoint.
 * - Closed connections are tracked for 20 s instead of 120 s. At 10,000 connections a second, the usual 262,144 entries
 *   would not last otherwise.
 * - A refused SYN (RST with sequence number 0) reaches the client as an acknowledgement of data that it never sent.
 *   Linux then retransmits its SYN at once (since 5.6, once per connection), other systems after 1 s. A connection in
 *   `again` was refused, or its endpoint died before it answered. It goes to the user-space proxy, which tries one
 *   endpoint after the other.
 * - ICMP "unreachable" messages are hidden from the client until an endpoint has answered, except "fragmentation
 *   needed".
 * - Connections to 127.0.0.1 cannot leave the host. A container may be picked for its own connection (`hairpins`),
 *   which Docker's bridges do not forward. Both are left to the user-space proxy.
 */
export const BASE_RULESET = `table ip ${TABLE} {
  ct timeout ${TIMEOUT_OBJECT} { protocol tcp; l3proto ip; policy = { ${TCP_TIMEOUT_POLICY}, time_wait : 20 }; }
  counter ${NO_ENDPOINT_COUNTER} { }
  counter unreachable { }
  map ${FRONTEND_MAPS.port} { type inet_proto . inet_service : verdict; counter; }
  map ${FRONTEND_MAPS.bound} { type ipv4_addr . inet_proto . inet_service : verdict; counter; }
${MEMBER_MAPS}
  set remotes { type ipv4_addr . inet_proto . inet_service; counter; }
  set locals { type ipv4_addr . inet_proto . inet_service; counter; }
  set hairpins { type ipv4_addr . inet_proto . inet_service; }
  set neighbors { type ipv4_addr . ipv4_addr; flags interval; }
  set ${RETRIED_SET} { type ipv4_addr . inet_service . ipv4_addr . inet_service; flags dynamic, timeout; timeout 2s; size 65536; }
  set refusals { type ipv4_addr . inet_proto . inet_service; flags dynamic, timeout; timeout 1h; size 65536; counter; }
  chain ${ENTRY_CHAIN} {
    type nat hook prerouting priority -110; policy accept;
    ip saddr . meta l4proto . th dport @hairpins return
    jump frontends
  }
  chain outgoing {
    type nat hook output priority -110; policy accept;
    ip daddr != 127.0.0.0/8 jump frontends
  }
  chain frontends {
    ip saddr . tcp sport . ip daddr . tcp dport @${RETRIED_SET} return
    ip daddr . meta l4proto . th dport vmap @${FRONTEND_MAPS.bound}
    fib daddr type local meta l4proto . th dport vmap @${FRONTEND_MAPS.port}
    ct mark and ${BALANCED_MARK} == ${BALANCED_MARK} ct mark set ct mark xor ${BALANCED_MARK} counter name "${NO_ENDPOINT_COUNTER}"
  }
  chain leaving {
    type nat hook postrouting priority 90; policy accept;
    ct mark and ${BALANCED_MARK} == 0 return
    ip daddr . meta l4proto . th dport @remotes masquerade
    ip daddr . meta l4proto . th dport @locals ip saddr . ip daddr @neighbors masquerade
  }
  chain arriving {
    type nat hook input priority 90; policy accept;
    ct mark and ${BALANCED_MARK} == ${BALANCED_MARK} ip daddr . meta l4proto . th dport @locals
  }
  chain unanswered-in {
    type filter hook prerouting priority -140; policy accept;
    jump unanswered
  }
  chain unanswered-out {
    type filter hook output priority -140; policy accept;
    jump unanswered
  }
  chain unanswered {
    ${markAnswered(BALANCED_MARK)}
    tcp flags & (syn | rst | ack) == (rst | ack) tcp sequence 0 ct mark and ${BALANCED_MARK} == ${BALANCED_MARK} ct direction reply goto refused
    icmp type destination-unreachable icmp code != frag-needed ct original protocol tcp ct mark and ${BALANCED_MARK} == ${BALANCED_MARK} ct status and seen-reply == 0 counter name "unreachable" drop
  }
  chain refused {
    tcp flags & rst == rst update @${RETRIED_SET} { ct original ip saddr . ct original proto-src . ct original ip daddr . ct original proto-dst } tcp flags set ack tcp ackseq set 0
    update @refusals { ip saddr . meta l4proto . tcp sport }
    tcp flags & rst == rst drop
  }
${SYN_RETRANSMIT_RULES}}
`;
