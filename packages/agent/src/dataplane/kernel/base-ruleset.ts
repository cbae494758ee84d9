import type { Protocol } from "./kernel-service.js";
import { BALANCED_MARK } from "./marks.js";
import { MEMBER_KEY_TYPE } from "./member-key.js";
import { FELL_THROUGH, QUICK } from "./service-chain.js";
import { TIMEOUT_POLICY } from "./tcp-timeouts.js";

export const TABLE = "berth";
/** The chain whose absence tells that the table was flushed by somebody. */
export const ENTRY_CHAIN = "incoming";

/**
 * The members of all services are in these maps, by number. One for each protocol would do; but each new member is
 * checked by the kernel against every rule that uses its map, and a full load of 1,000 services took twice as long.
 */
export const MEMBER_MAP_COUNT = 16;
const PROTOCOLS: readonly Protocol[] = ["tcp", "udp"];

/** The map that holds the members of a service, always the same one. */
export function memberMap(protocol: Protocol, service: string): string {
  return `${protocol}-members${memberMapNumber(service)}`;
}

export function memberMapNumber(service: string): number {
  let hash = 0;
  for (let index = 0; index < service.length; index += 1) {
    hash = (Math.imul(hash, 31) + service.charCodeAt(index)) >>> 0;
  }
  return hash % MEMBER_MAP_COUNT;
}

/** Typed by protocol: nft 1.0.6 cannot read back what it wrote for `th dport`. */
const MEMBER_MAPS = PROTOCOLS.flatMap((protocol) =>
  Array.from({ length: MEMBER_MAP_COUNT }, (_, index) => {
    return `  map ${protocol}-members${index} { typeof ${MEMBER_KEY_TYPE} : ip daddr . ${protocol} dport; }`;
  }),
).join("\n");

/** Sets that name endpoints and the like. */
export type ElementSet = "remotes" | "locals" | "hairpins" | "neighbours";

/** Clients that are waiting for an endpoint which has gone, and where they believe to be connecting to. See `prompt.ts`. */
export const PROMPTS = "prompts";

/** Verdict maps from a door to its service's chain. They count who comes: what is made of an endpoint goes with it. */
export const FRONTEND_MAPS = { port: "ports", bound: "bound", vip: "vips" } as const;

/** Takes the table away, which need not be there. In front of a new one, in one script, it replaces it at once. */
export const DELETE_TABLE = `table ip ${TABLE}\ndelete table ip ${TABLE}\n`;

/**
 * What does not depend on any service.
 *
 * - -110 is before Docker's own address translation (-100), 90 before its masquerading (100).
 * - An unanswered SYN is forgotten after 1 s, when its client repeats it: the repetition goes to another endpoint.
 * - Ended connections are forgotten after 20 s instead of 120 s: at 10,000 connections a second the kernel's table of
 *   connections, 262,144 entries on most hosts, would be full otherwise.
 * - A refusal of a SYN (RST with sequence number 0) reaches the client as an acknowledgement of something that it never
 *   sent. By RFC 9293 it answers that with a reset and goes on waiting; Linux repeats its SYN at once then (since 5.6,
 *   once per connection), others after a second, as above. What was refused once (`again`) goes to the process that
 *   listens, which tries one endpoint after the other: the next in turn might refuse as well.
 * - A client in `prompts` is sent such an acknowledgement: it looks like our own attempt to connect to it, until it is
 *   on its way. Should the client repeat its SYN just then, that must not be taken for an answer.
 * - What tells that a host or port cannot be reached is kept from the client until the first answer; "too big" (code 4)
 *   is not.
 * - Connections to 127.0.0.1 cannot leave the host, and a container may be picked to serve its own connection, which
 *   Docker's bridges do not carry: both stay with the process that listens.
 */
export const BASE_RULESET = `table ip ${TABLE} {
  ct timeout ${QUICK} { protocol tcp; l3proto ip; policy = { ${TIMEOUT_POLICY}, time_wait : 20 }; }
  counter ${FELL_THROUGH} { }
  counter unreachable { }
  map ports { type inet_proto . inet_service : verdict; counter; }
  map bound { type ipv4_addr . inet_proto . inet_service : verdict; counter; }
  map vips { type ipv4_addr . inet_proto . inet_service : verdict; }
${MEMBER_MAPS}
  set remotes { type ipv4_addr . inet_proto . inet_service; counter; }
  set locals { type ipv4_addr . inet_proto . inet_service; counter; }
  set hairpins { type ipv4_addr . inet_proto . inet_service; }
  set neighbours { type ipv4_addr . ipv4_addr; flags interval; }
  set again { type ipv4_addr . inet_service . ipv4_addr . inet_service; flags dynamic, timeout; timeout 2s; size 65536; }
  map ${PROMPTS} { type ipv4_addr . inet_service : ipv4_addr . inet_service; flags timeout; timeout 1s; size 4096; }
  set refusals { type ipv4_addr . inet_proto . inet_service; flags dynamic, timeout; timeout 1h; size 65536; counter; }
  chain ${ENTRY_CHAIN} {
    type nat hook prerouting priority -110; policy accept;
    ip saddr . meta l4proto . th dport @hairpins return
    jump doors
  }
  chain outgoing {
    type nat hook output priority -110; policy accept;
    ip daddr . tcp dport @${PROMPTS} ct timeout set "${QUICK}" return
    ip daddr != 127.0.0.0/8 jump doors
  }
  chain doors {
    ip daddr . meta l4proto . th dport vmap @vips
    ip saddr . tcp sport . ip daddr . tcp dport @again return
    ip daddr . meta l4proto . th dport vmap @bound
    fib daddr type local meta l4proto . th dport vmap @ports
    ct mark and ${BALANCED_MARK} == ${BALANCED_MARK} ct mark set ct mark xor ${BALANCED_MARK} counter name "${FELL_THROUGH}"
  }
  chain leaving {
    type nat hook postrouting priority 90; policy accept;
    snat ip to ip daddr . tcp dport map @${PROMPTS}
    ct mark and ${BALANCED_MARK} == 0 return
    ip daddr . meta l4proto . th dport @remotes masquerade
    ip daddr . meta l4proto . th dport @locals ip saddr . ip daddr @neighbours masquerade
  }
  chain arriving {
    type nat hook input priority 90; policy accept;
    ct mark and ${BALANCED_MARK} == ${BALANCED_MARK} ip daddr . meta l4proto . th dport @locals
  }
  chain unanswered-in {
    type filter hook prerouting priority -140; policy accept;
    tcp flags & (syn | ack) == syn ct direction reply ip saddr . tcp sport @${PROMPTS} drop
    jump unanswered
  }
  chain unanswered-out {
    type filter hook output priority -140; policy accept;
    tcp flags & (syn | ack) == syn ip daddr . tcp dport @${PROMPTS} tcp flags set ack tcp ackseq set 0
    jump unanswered
  }
  chain unanswered {
    tcp flags & (syn | rst | ack) == (rst | ack) tcp sequence 0 ct mark and ${BALANCED_MARK} == ${BALANCED_MARK} ct direction reply goto refused
    icmp type destination-unreachable icmp code != frag-needed ct original protocol tcp ct mark and ${BALANCED_MARK} == ${BALANCED_MARK} ct status and seen-reply == 0 counter name "unreachable" drop
  }
  chain refused {
    tcp flags & rst == rst update @again { ct original ip saddr . ct original proto-src . ct original ip daddr . ct original proto-dst } tcp flags set ack tcp ackseq set 0
    update @refusals { ip saddr . meta l4proto . tcp sport }
    tcp flags & rst == rst drop
  }
}
`;
