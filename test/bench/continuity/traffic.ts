import { setMaxListeners } from "node:events";
import { type KeptCounts, keepAsking } from "./kept-connection.js";
import { openConnections } from "./new-connections.js";
import type { Result } from "./result.js";

const PER_SECOND = 500;
const KEPT_CLIENTS = 32;
const KEPT_EVERY_MS = 100;
/** Longer than anything here may take, shorter than a person waits. */
const TIMEOUT_MS = 5_000;
/** An hour's worth; beyond that, answers are counted no more. */
const MAX_RESULTS = 2_000_000;

export interface Traffic {
  readonly results: readonly Result[];
  readonly resent: number;
}

/** Both kinds of clients against some hosts while `meanwhile` goes on. */
export async function underTraffic(
  { addresses, port }: { readonly addresses: readonly string[]; readonly port: number },
  meanwhile: () => Promise<void>,
): Promise<Traffic> {
  const results: Result[] = [];
  const counts: KeptCounts = { resent: 0 };
  const over = new AbortController();
  setMaxListeners(0, over.signal);
  const target = {
    addresses,
    port,
    timeoutMs: TIMEOUT_MS,
    onResult: (result: Result) => {
      if (results.length < MAX_RESULTS) results.push(result);
    },
  };
  const clients = Array.from({ length: KEPT_CLIENTS }, (_, number) =>
    keepAsking({ ...target, everyMs: KEPT_EVERY_MS, counts, number }, over.signal),
  );
  const connections = openConnections({ ...target, perSecond: PER_SECOND }, over.signal);
  try {
    await meanwhile();
  } finally {
    over.abort();
    await Promise.all([connections, ...clients]);
  }
  return { results, resent: counts.resent };
}
