import { endianness } from "node:os";
import { assertNever } from "@berth/proto";
import { BUCKET_SEED, BUCKETS, rendezvous } from "../balancing/rendezvous.js";
import type { KernelBalancing, Protocol } from "./kernel-service.js";

/**
 * The conntrack mark bit of connections that the kernel balances. A single high bit, because others use the low ones:
 * kube-proxy 0x4000 and 0x8000, Docker and Calico whole bytes.
 */
export const BALANCED_MARK = "0x200000";
/**
 * The conntrack mark bit of TCP connections to published ports and virtual IPs whose SYN was answered. The kernel can
 * then list the unanswered ones without all others: conntrack filters marks in the kernel, and states only after it has
 * received all connections.
 */
const ANSWERED_MARK = "0x800000";
/** Returns the rule that sets {@link ANSWERED_MARK} on connections with a mark, for a chain that sees their replies. */
export function markAnswered(mark: string): string {
  return `tcp flags & (syn | ack) == (syn | ack) ct direction reply ct mark and ${mark} == ${mark} ct mark set ct mark or ${ANSWERED_MARK}`;
}

/** Returns conntrack's filter for connections with a mark. */
export function markFilter(
  mark: string,
  { isUnansweredOnly }: { readonly isUnansweredOnly: boolean },
): string {
  const mask = isUnansweredOnly ? Number(mark) | Number(ANSWERED_MARK) : Number(mark);
  return `${mark}/0x${mask.toString(16)}`;
}

/** The `ct timeout` object of balanced connections. */
export const TIMEOUT_OBJECT = "quick";

/** Number of maps over which the members of all services are spread. */
export const MEMBER_MAP_COUNT = 16;

/**
 * The nftables type of a member's number: 32 bits in network byte order. `numgen` and `jhash` yield numbers in host
 * byte order, which `typeof numgen` would declare. But nft 1.1.7 swaps the bytes of such elements, so that the kernel
 * finds none of them. nft 1.0.6 rejects the other types of host byte order.
 */
export const MEMBER_KEY_TYPE = "tcp sequence";

/** Returns a member's number as nft has to write it, so that the kernel stores the bytes that `numgen` yields. */
export function memberKey(number: number): number {
  if (endianness() === "BE") return number;
  return new DataView(Uint32Array.of(number).buffer).getUint32(0, false);
}

/** Returns which of the maps holds the members of a service. Always the same one for a name. */
export function memberMapNumber(service: string): number {
  let hash = 0;
  for (let index = 0; index < service.length; index += 1) {
    hash = (Math.imul(hash, 31) + service.charCodeAt(index)) >>> 0;
  }
  return hash % MEMBER_MAP_COUNT;
}

/** The numbers of one service's members in their map: `size` numbers from `base`. */
export interface MemberRange {
  readonly map: string;
  readonly base: number;
  readonly size: number;
}

/** Returns the members of a service: one per endpoint in round-robin order, or one per bucket of client addresses. */
export function orderMembers<Endpoint extends { readonly id: string }>(
  { balance, endpoints }: { readonly balance: KernelBalancing; readonly endpoints: readonly Endpoint[] },
  previous: readonly Endpoint[],
): readonly Endpoint[] {
  switch (balance) {
    case "round-robin":
      return rotateMembers(endpoints, previous);
    case "source-hash": {
      const buckets = Array.from({ length: BUCKETS }, (_, bucket) => rendezvous(bucket, endpoints));
      return buckets.filter((endpoint) => endpoint !== undefined);
    }
    default:
      return assertNever(balance);
  }
}

/**
 * The kernel restarts at the first member after every change. Without rotation, a series of quick changes would send
 * every connection to the same member. The previous first member therefore moves to the end, before new members.
 */
function rotateMembers<Endpoint extends { readonly id: string }>(
  endpoints: readonly Endpoint[],
  previous: readonly Endpoint[],
): readonly Endpoint[] {
  const pending = new Map(endpoints.map((endpoint) => [endpoint.id, endpoint]));
  const remaining: Endpoint[] = [];
  for (const { id } of [...previous.slice(1), ...previous.slice(0, 1)]) {
    const endpoint = pending.get(id);
    if (endpoint !== undefined) remaining.push(endpoint);
    pending.delete(id);
  }
  return [...remaining, ...pending.values()];
}

export interface ChainOptions extends MemberRange {
  readonly protocol: Protocol;
  readonly balance: KernelBalancing;
}

/**
 * Returns the rules of a service's chain. A pick whose member was deleted falls through to the next rule. After the last
 * rule the kernel returns to the chain that looked up the frontend, and the connection is not balanced.
 */
export function chainRules({ protocol, balance, ...range }: ChainOptions): readonly string[] {
  const timeout = protocol === "tcp" ? ` ct timeout set "${TIMEOUT_OBJECT}"` : "";
  return [
    `ct mark set ct mark or ${BALANCED_MARK}${timeout}`,
    ...pickExpressions(balance, range).map((pick) => `meta l4proto ${protocol} dnat ip to ${pick}`),
  ];
}

/** Returns nftables expressions that pick a member of a range, in the order in which they are tried. */
export function pickExpressions(
  balance: KernelBalancing,
  { map, base, size }: MemberRange,
): readonly string[] {
  return numberExpressions(balance, size).map((number) => `${number} offset ${base} map @${map}`);
}

function numberExpressions(balance: KernelBalancing, size: number): readonly string[] {
  switch (balance) {
    case "source-hash":
      return [`jhash ip saddr mod ${BUCKETS} seed 0x${BUCKET_SEED.toString(16)}`];
    case "round-robin":
      return [`numgen inc mod ${size}`, `numgen random mod ${size}`, `numgen inc mod ${size}`];
    default:
      return assertNever(balance);
  }
}
