import type { NamedEndpoint, NamesTable } from "../../dns/names-table.js";
import { QUICK_POLICY } from "../kernel/tcp-timeouts.js";
import { BUCKET_SEED, BUCKETS, rendezvous } from "../rendezvous.js";

/** Of our own in the kernel: one for IPv4, and one of the same name for the bridges. */
export const VIP_TABLE = "berth-vips";
/** The chain whose absence tells that the table was flushed by somebody. */
export const VIP_CHAIN = "incoming";
/** The map from virtual IPs to their chains, which counts who comes. */
export const VIP_MAP = "services";

/** A virtual IP, and where its connections go. */
export interface Vip {
  readonly address: string;
  /** The bridge on which containers of this host ask for it. */
  readonly bridge: string;
  /** Addresses of tasks; none: connections are refused. */
  readonly tasks: readonly string[];
  /** Of those that get no new connections and keep what they have. */
  readonly kept: readonly string[];
  /** All connections of one address go to one task, through whichever host they come. */
  readonly isBySource: boolean;
}

/** The virtual IPs of the networks that this host has a part of. */
export function vipsOf({ networks, services }: NamesTable): readonly Vip[] {
  const bridges = new Map(networks.map(({ id, bridge }) => [id, bridge]));
  return services.flatMap(({ vip, networkId, endpoints, draining, isBySource = false }) => {
    const bridge = bridges.get(networkId);
    if (vip === "" || bridge === undefined) return [];
    const [tasks, kept] = [endpoints.map(addressOf), draining.map(addressOf)];
    return [{ address: vip, bridge, tasks, kept, isBySource }];
  });
}

/**
 * Replaces all that balances virtual IPs, in one transaction.
 *
 * - -111 is before published ports are looked at (-110): a virtual IP is an address of this host, too.
 * - An unanswered SYN is forgotten after 1 s, when its client repeats it: the repetition goes to another task.
 * - A task that gets its own connection needs another source address, or it would answer itself past the kernel.
 * - Each host has every virtual IP, so that questions for its hardware address are answered by the host's own bridge;
 *   those of other hosts' containers come in by the tunnel and are for their own.
 */
export function vipScript(vips: readonly Vip[]): string {
  const served = vips.filter(({ tasks }) => tasks.length > 0);
  const tasks = [...new Set(served.flatMap((vip) => vip.tasks))];
  return `table ip ${VIP_TABLE}
delete table ip ${VIP_TABLE}
table ip ${VIP_TABLE} {
  ct timeout quick { protocol tcp; l3proto ip; policy = { ${QUICK_POLICY} }; }
  set vips { type ipv4_addr; ${elements(vips.map(({ address }) => address))}}
  set selves { type ipv4_addr . ipv4_addr; ${elements(tasks.map((task) => `${task} . ${task}`))}}
${served.map(serviceChain).join("")}  map ${VIP_MAP} { type ipv4_addr : verdict; counter; ${elements(served.map(({ address }, at) => `${address} : jump vip${at}`))}}
  chain ${VIP_CHAIN} {
    type nat hook prerouting priority -111; policy accept;
    ip daddr vmap @${VIP_MAP}
  }
  chain outgoing {
    type nat hook output priority -111; policy accept;
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
table bridge ${VIP_TABLE}
delete table bridge ${VIP_TABLE}
table bridge ${VIP_TABLE} {
  set vips { type ipv4_addr; ${elements(vips.map(({ address }) => address))}}
  chain from-peers {
    type filter hook prerouting priority -300; policy accept;
    iifname "btv*" ether type arp arp daddr ip @vips drop
  }
}
`;
}

/** Takes all of it away; nothing need be there. */
export const REMOVE_VIPS = ["ip", "bridge"]
  .map((family) => `table ${family} ${VIP_TABLE}\ndelete table ${family} ${VIP_TABLE}\n`)
  .join("");

function serviceChain(vip: Vip, at: number): string {
  const { turn, members } = pickOf(vip);
  const picks = members.map((task, index) => `${index} : ${task}`).join(", ");
  return `  chain vip${at} {
    meta l4proto { tcp, udp } dnat to ${turn} map { ${picks} }
  }
`;
}

/** The number that the kernel works out for a connection, and the task that each number stands for. */
function pickOf({ tasks, isBySource }: Vip): { readonly turn: string; readonly members: readonly string[] } {
  if (!isBySource) return { turn: `numgen inc mod ${tasks.length}`, members: tasks };
  const candidates = tasks.map((task) => ({ id: task }));
  return {
    turn: `jhash ip saddr mod ${BUCKETS} seed 0x${BUCKET_SEED.toString(16)}`,
    members: Array.from({ length: BUCKETS }, (_, bucket) => rendezvous(bucket, candidates)?.id ?? ""),
  };
}

const addressOf = ({ address }: NamedEndpoint): string => address;

const elements = (list: readonly string[]): string =>
  list.length === 0 ? "" : `elements = { ${list.join(", ")} } `;
