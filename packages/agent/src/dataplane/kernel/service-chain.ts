import { BUCKET_SEED, BUCKETS, rendezvous } from "../balancing/rendezvous.js";
import type { KernelService, Protocol } from "./kernel-service.js";
import { BALANCED_MARK } from "./marks.js";
import type { MemberRange } from "./numbered-table.js";

/** One entry of an endpoint map per bucket, or one per endpoint, in the order in which they take turns. */
export function membersOf<Member extends { readonly id: string }>(
  {
    balance,
    endpoints,
  }: { readonly balance: KernelService["balance"]; readonly endpoints: readonly Member[] },
  previous: readonly Member[],
): readonly Member[] {
  if (balance === "round-robin") return inTurn(endpoints, previous);
  return Array.from({ length: BUCKETS }, (_, bucket) => rendezvous(bucket, endpoints)).filter(isPresent);
}

/**
 * The kernel counts from the first member on after every change. So that changes in quick succession do not send all
 * to the same one, whoever was first goes to the end; newcomers come last.
 */
function inTurn<Member extends { readonly id: string }>(
  members: readonly Member[],
  previous: readonly Member[],
): readonly Member[] {
  const wanted = new Map(members.map((member) => [member.id, member]));
  const staying: Member[] = [];
  for (const { id } of [...previous.slice(1), ...previous.slice(0, 1)]) {
    const member = wanted.get(id);
    if (member !== undefined) staying.push(member);
    wanted.delete(id);
  }
  // Not by id: two published ports of one task have endpoints with one id, but never behind one door.
  return [...staying, ...wanted.values()];
}

export interface ChainOptions extends MemberRange {
  readonly protocol: Protocol;
  readonly pick: KernelService["balance"];
}

/**
 * The rules of a service's chain. A pick whose member was deleted falls through to the next pick, and past the last
 * one back to the chain that looked for a door: then the connection is not ours.
 */
export function chainRules({ protocol, pick, ...range }: ChainOptions): readonly string[] {
  const timeout = protocol === "tcp" ? ` ct timeout set "${QUICK}"` : "";
  return [
    `ct mark set ct mark or ${BALANCED_MARK}${timeout}`,
    ...pickExpressions(pick, range).map((each) => `meta l4proto ${protocol} dnat ip to ${each}`),
  ];
}

/** Expressions for a member of a range; each falls through where it has been deleted. */
export function pickExpressions(
  pick: KernelService["balance"],
  { map, base, size }: MemberRange,
): readonly string[] {
  const numbers =
    pick === "source-hash"
      ? [`jhash ip saddr mod ${BUCKETS} seed 0x${BUCKET_SEED.toString(16)}`]
      : [`numgen inc mod ${size}`, `numgen random mod ${size}`, `numgen inc mod ${size}`];
  return numbers.map((each) => `${each} offset ${base} map @${map}`);
}

/** The timeouts of balanced connections. */
export const QUICK = "quick";
/** Connections for which the kernel found no endpoint. */
export const FELL_THROUGH = "fell-through";

function isPresent<Value>(value: Value | undefined): value is Value {
  return value !== undefined;
}
