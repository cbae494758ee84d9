import { TCP_TIMEOUT_POLICY } from "../kernel/conntrack-timeouts.js";
import { deleteTable } from "../kernel/nft.js";
import { NftServiceTable, type ServiceSchema, type SetElement } from "../kernel/nft-service-table.js";
import {
  MEMBER_KEY_TYPE,
  MEMBER_MAP_COUNT,
  type MemberRange,
  markAnswered,
  memberMapNumber,
  orderMembers,
  pickExpressions,
  TIMEOUT_OBJECT,
} from "../kernel/service-chain.js";
import { SYN_RETRANSMIT_RULES } from "../kernel/syn-retransmit.js";
import { HELD_MARK, isSameHold, isSameList, VIP_MARK, type Vip } from "./vip.js";

/** The nftables table of virtual IPs; one of family `ip` and one of family `bridge`. */
export const VIP_TABLE = "berth-vips";
/** A chain of the table. When it is missing, the table was flushed. */
export const VIP_ENTRY_CHAIN = "incoming";
/** The verdict map from virtual IPs to their chains, with a counter for each. */
export const VIP_MAP = "services";

const IP_TABLE = `ip ${VIP_TABLE}`;
const BRIDGE_TABLE = `bridge ${VIP_TABLE}`;

/** Deletes the tables, which need not exist. */
export const DELETE_VIP_TABLES = [IP_TABLE, BRIDGE_TABLE].map(deleteTable).join("");

const MEMBER_MAPS = Array.from(
  { length: MEMBER_MAP_COUNT },
  (_, index) => `  map members${index} { typeof ${MEMBER_KEY_TYPE} : ip daddr; }`,
).join("\n");

/**
 * The part of the tables that does not depend on virtual IPs.
 *
 * - Priority -111 runs before published ports (-110), because a virtual IP is also an address of this host.
 * - Connections are marked, so that the kernel lists them without all others (conntrack filters marks in the kernel).
 * - Unanswered SYNs are tracked for 1 s, so that the client's retransmission goes to another task.
 * - A task that is picked for its own connection would answer itself and bypass NAT, so the connection is masqueraded.
 * - A refused SYN (RST with sequence number 0) reaches the client as an acknowledgement of data that it never sent.
 *   Linux then retransmits its SYN at once, to the next task. This happens once per connection (`refused`); the client
 *   gets the second refusal. Virtual IPs with another task to try are in `retried`.
 * - Every host has every virtual IP, so each host's bridge answers ARP requests for it. Requests that arrive through a
 *   tunnel are for the host that sent them, and are dropped.
 */
const BASE_RULESET = `table ${IP_TABLE} {
  ct timeout ${TIMEOUT_OBJECT} { protocol tcp; l3proto ip; policy = { ${TCP_TIMEOUT_POLICY} }; }
  set vips { type ipv4_addr; }
  set selves { type ipv4_addr . ipv4_addr; }
  set retried { type ipv4_addr; }
  set hold-ports { type inet_service; }
  set refused { type ipv4_addr . inet_service . ipv4_addr . inet_service; flags dynamic, timeout; timeout 2s; size 65536; }
  map ${VIP_MAP} { type ipv4_addr : verdict; counter; }
${MEMBER_MAPS}
  chain ${VIP_ENTRY_CHAIN} {
    type nat hook prerouting priority -111; policy accept;
    meta l4proto { tcp, udp } jump frontends
  }
  chain outgoing {
    type nat hook output priority -111; policy accept;
    meta l4proto { tcp, udp } jump frontends
  }
  chain frontends {
    ip daddr @vips ct mark set ct mark or ${VIP_MARK}
    ip daddr vmap @${VIP_MAP}
  }
  chain leaving {
    type nat hook postrouting priority 89; policy accept;
    ct status dnat ip saddr . ip daddr @selves masquerade
  }
  chain timeouts-in {
    type filter hook prerouting priority -151; policy accept;
    ip daddr @vips tcp flags & (syn | ack) == syn ct timeout set "${TIMEOUT_OBJECT}"
  }
  chain timeouts-out {
    type filter hook output priority -151; policy accept;
    ip daddr @vips tcp flags & (syn | ack) == syn ct timeout set "${TIMEOUT_OBJECT}"
  }
  chain refusals {
    type filter hook prerouting priority -141; policy accept;
    ${markAnswered(VIP_MARK)}
    tcp flags & (syn | rst | ack) == (rst | ack) tcp sequence 0 ct direction reply ct original ip daddr @retried jump refusal
  }
  chain refusal {
    tcp flags & rst == rst ct original ip saddr . ct original proto-src . ct original ip daddr . ct original proto-dst @refused return
    tcp flags & rst == rst update @refused { ct original ip saddr . ct original proto-src . ct original ip daddr . ct original proto-dst } tcp flags set ack tcp ackseq set 0
  }
  chain unserved {
    type filter hook input priority -11; policy accept;
    tcp dport @hold-ports ip daddr @vips accept
    tcp dport @hold-ports reject with tcp reset
    ip daddr @vips meta l4proto tcp reject with tcp reset
    ip daddr @vips meta l4proto udp reject
  }
${SYN_RETRANSMIT_RULES}}
table ${BRIDGE_TABLE} {
  set vips { type ipv4_addr; }
  chain from-peers {
    type filter hook prerouting priority -300; policy accept;
    iifname "btv*" ether type arp arp daddr ip @vips drop
  }
}
`;

/** A task, by its address. */
interface Member {
  readonly id: string;
}

const SCHEMA: ServiceSchema<Vip, Member> = {
  table: IP_TABLE,
  emptyTable: `${DELETE_VIP_TABLES}${BASE_RULESET}`,
  chainName: (address) => `vip-${address}`,
  memberMap: (address) => `members${memberMapNumber(address)}`,
  orderMembers: ({ tasks, hasSourceAffinity }, previous) => {
    const endpoints = tasks.map((id) => ({ id }));
    return orderMembers({ balance: hasSourceAffinity ? "source-hash" : "round-robin", endpoints }, previous);
  },
  memberFilter: ({ tasks }) => {
    const desired = new Set(tasks);
    return ({ id }) => desired.has(id);
  },
  isSame: (one, other) =>
    one.hasSourceAffinity === other.hasSourceAffinity &&
    isSameHold(one.hold, other.hold) &&
    isSameList(one.tasks, other.tasks),
  memberElement: ({ id }) => id,
  dispatchEntry: ({ address }) => ({ map: VIP_MAP, element: address }),
  chainRules,
  sharedElements: ({ address, tasks, hasSourceAffinity, hold }): readonly SetElement[] => [
    { set: "vips", element: address },
    { set: "vips", element: address, table: BRIDGE_TABLE },
    ...((tasks.length > 1 && !hasSourceAffinity) || hold !== undefined
      ? [{ set: "retried", element: address }]
      : []),
    ...(hold === undefined ? [] : [{ set: "hold-ports", element: String(hold.port) }]),
    ...tasks.map((task) => ({ set: "selves", element: `${task} . ${task}` })),
  ],
};

function chainRules({ address, hasSourceAffinity, hold }: Vip, range: MemberRange): readonly string[] {
  // When the hashed task is gone, any other task is better than none.
  const picks = [
    ...(hasSourceAffinity ? pickExpressions("source-hash", range) : []),
    ...pickExpressions("round-robin", range),
  ];
  const toTasks = range.size === 0 ? [] : picks.map((pick) => `dnat to ${pick}`);
  if (hold === undefined) return toTasks;
  const toHold = `ct mark set ct mark or ${HELD_MARK} dnat to ${address}:${hold.port}`;
  return [
    `ip saddr . tcp sport . ip daddr . tcp dport @refused ${toHold}`,
    ...toTasks,
    `meta l4proto tcp ${toHold}`,
  ];
}

/**
 * The kernel's tables of virtual IPs. Connections to a virtual IP without tasks reach this host, which refuses them
 * unless it holds them.
 */
export class VipRuleset extends NftServiceTable<Vip, Member> {
  constructor(maxRewrites?: number) {
    super(SCHEMA, maxRewrites);
  }
}
