import { MEMBER_MAP_COUNT, memberMapNumber } from "../kernel/base-ruleset.js";
import { MEMBER_KEY_TYPE } from "../kernel/member-key.js";
import {
  type MemberRange,
  NumberedTable,
  type ServiceSchema,
  type SetElement,
} from "../kernel/numbered-table.js";
import { membersOf, pickExpressions } from "../kernel/service-chain.js";
import { TIMEOUT_POLICY } from "../kernel/tcp-timeouts.js";
import { sameList, type Vip } from "./vip.js";

/** Of our own in the kernel: one for IPv4, and one of the same name for the bridges. */
export const VIP_TABLE = "berth-vips";
/** The chain whose absence tells that the table was flushed by somebody. */
export const VIP_ENTRY_CHAIN = "incoming";
/** The map from virtual IPs to their chains, which counts who comes. */
export const VIP_MAP = "services";

const IP = `ip ${VIP_TABLE}`;
const BRIDGE = `bridge ${VIP_TABLE}`;

/** Takes all of it away; nothing need be there. */
export const DELETE_VIP_TABLES = [IP, BRIDGE]
  .map((table) => `table ${table}\ndelete table ${table}\n`)
  .join("");

const MEMBER_MAPS = Array.from(
  { length: MEMBER_MAP_COUNT },
  (_, index) => `  map members${index} { typeof ${MEMBER_KEY_TYPE} : ip daddr; }`,
).join("\n");

/**
 * What does not depend on any virtual IP.
 *
 * - -111 is before published ports are looked at (-110): a virtual IP is an address of this host, too.
 * - An unanswered SYN is forgotten after 1 s, when its client repeats it: the repetition goes to another task.
 * - A task that gets its own connection needs another source address, or it would answer itself past the kernel.
 * - Each host has every virtual IP, so that questions for its hardware address are answered by the host's own bridge;
 *   those of other hosts' containers come in by the tunnel and are for their own.
 */
const SKELETON = `table ${IP} {
  ct timeout quick { protocol tcp; l3proto ip; policy = { ${TIMEOUT_POLICY} }; }
  set vips { type ipv4_addr; }
  set selves { type ipv4_addr . ipv4_addr; }
  map ${VIP_MAP} { type ipv4_addr : verdict; counter; }
${MEMBER_MAPS}
  chain ${VIP_ENTRY_CHAIN} {
    type nat hook prerouting priority -111; policy accept;
    meta l4proto { tcp, udp } jump doors
  }
  chain outgoing {
    type nat hook output priority -111; policy accept;
    meta l4proto { tcp, udp } jump doors
  }
  chain doors {
    ip daddr vmap @${VIP_MAP}
  }
  chain leaving {
    type nat hook postrouting priority 89; policy accept;
    ct status dnat ip saddr . ip daddr @selves masquerade
  }
  chain quick-in {
    type filter hook prerouting priority -151; policy accept;
    ip daddr @vips tcp flags & (syn | ack) == syn ct timeout set "quick"
  }
  chain quick-out {
    type filter hook output priority -151; policy accept;
    ip daddr @vips tcp flags & (syn | ack) == syn ct timeout set "quick"
  }
  chain unserved {
    type filter hook input priority -11; policy accept;
    ip daddr @vips meta l4proto tcp reject with tcp reset
    ip daddr @vips meta l4proto udp reject
  }
}
table ${BRIDGE} {
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

const VIPS: ServiceSchema<Vip, Member> = {
  table: IP,
  empty: `${DELETE_VIP_TABLES}${SKELETON}`,
  chainOf: (address) => `vip-${address}`,
  mapOf: (address) => `members${memberMapNumber(address)}`,
  membersOf: ({ tasks, hasSourceAffinity }, previous) => {
    const endpoints = tasks.map((id) => ({ id }));
    return membersOf({ balance: hasSourceAffinity ? "source-hash" : "round-robin", endpoints }, previous);
  },
  keeps: ({ tasks }) => {
    const staying = new Set(tasks);
    return ({ id }) => staying.has(id);
  },
  isSame: (one, other) =>
    one.hasSourceAffinity === other.hasSourceAffinity && sameList(one.tasks, other.tasks),
  memberElement: ({ id }) => id,
  dispatchEntry: ({ address }) => ({ map: VIP_MAP, element: address }),
  rulesOf,
  elementsOf: ({ address, tasks }): readonly SetElement[] => [
    { set: "vips", element: address },
    { set: "vips", element: address, table: BRIDGE },
    ...tasks.map((task) => ({ set: "selves", element: `${task} . ${task}` })),
  ],
};

function rulesOf({ hasSourceAffinity }: Vip, range: MemberRange): readonly string[] {
  if (range.size === 0) return [];
  // Nobody stands behind the kernel here: whose task has just gone is better off with any than with none.
  const picks = [
    ...(hasSourceAffinity ? pickExpressions("source-hash", range) : []),
    ...pickExpressions("round-robin", range),
  ];
  return picks.map((each) => `dnat to ${each}`);
}

/**
 * What the kernel's table of virtual IPs holds, by their addresses. One without tasks leads to nobody: what is sent
 * there arrives at this host, which refuses it.
 */
export class VipRuleset extends NumberedTable<Vip, Member> {
  constructor(maxRewrites?: number) {
    super(VIPS, maxRewrites);
  }
}
