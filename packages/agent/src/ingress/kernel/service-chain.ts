import { BUCKET_SEED, BUCKETS, rendezvous } from "../rendezvous.js";
import type { KernelEndpoint, KernelService, Protocol } from "./layout.js";
import { BALANCED_TEXT } from "./marks.js";

/** One entry of an endpoint map per bucket, or one per endpoint, in the order in which they take turns. */
export function membersOf(
  { pick, endpoints }: KernelService,
  previous: readonly KernelEndpoint[],
): readonly KernelEndpoint[] {
  if (pick === "turn") return inTurn(endpoints, previous);
  return Array.from({ length: BUCKETS }, (_, bucket) => rendezvous(bucket, endpoints)).filter(isPresent);
}

/**
 * The kernel counts from the first member on after every change. So that changes in quick succession do not send all
 * to the same one, whoever was first goes to the end; newcomers come last.
 */
function inTurn(
  endpoints: readonly KernelEndpoint[],
  previous: readonly KernelEndpoint[],
): readonly KernelEndpoint[] {
  const wanted = new Map(endpoints.map((endpoint) => [endpoint.id, endpoint]));
  const staying: KernelEndpoint[] = [];
  for (const { id } of [...previous.slice(1), ...previous.slice(0, 1)]) {
    const endpoint = wanted.get(id);
    if (endpoint !== undefined) staying.push(endpoint);
    wanted.delete(id);
  }
  // Not by id: two published ports of one task have endpoints with one id, but never behind one door.
  return [...staying, ...wanted.values()];
}

export interface ChainOptions {
  readonly protocol: Protocol;
  readonly pick: KernelService["pick"];
  /** The map that holds its members. */
  readonly map: string;
  /** The number of its first member there. */
  readonly base: number;
  readonly size: number;
}

/**
 * The rules of a service's chain. A pick whose member was deleted falls through to the next pick, and past the last
 * one back to the chain that looked for a door: then the connection is not ours.
 */
export function chainRules({ protocol, pick, map, base, size }: ChainOptions): readonly string[] {
  const picks =
    pick === "source"
      ? [`jhash ip saddr mod ${BUCKETS} seed 0x${BUCKET_SEED.toString(16)}`]
      : [`numgen inc mod ${size}`, `numgen random mod ${size}`, `numgen inc mod ${size}`];
  const timeout = protocol === "tcp" ? ` ct timeout set "${QUICK}"` : "";
  return [
    `ct mark set ct mark or ${BALANCED_TEXT}${timeout}`,
    ...picks.map((each) => `meta l4proto ${protocol} dnat ip to ${each} offset ${base} map @${map}`),
  ];
}

/** The timeouts of balanced connections. */
export const QUICK = "quick";
/** Connections for which the kernel found no endpoint. */
export const FELL_THROUGH = "fell-through";

function isPresent<Value>(value: Value | undefined): value is Value {
  return value !== undefined;
}
