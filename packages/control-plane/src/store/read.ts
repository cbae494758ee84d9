import { BerthError } from "@berth/proto";
import type { Entry, Span, Store } from "./store.js";

/** All entries of a span at one revision. */
export interface Listing {
  readonly entries: readonly Entry[];
  /** The revision at which all entries were read. A watch continues from the next one. */
  readonly revision: bigint;
}

/**
 * Maximum number of attempts. A compaction can interrupt a long read. A read that fails three times takes longer than
 * etcd keeps revisions.
 */
const MAX_ATTEMPTS = 3;

/**
 * Reads a span at one revision. Starts again if the revision is compacted meanwhile.
 *
 * @throws BerthError BERTH_ETCD_UNAVAILABLE
 */
export async function readAll(store: Store, span: Span, signal: AbortSignal): Promise<Listing> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const listing = await tryReadAll(store, span, signal);
    if (listing !== undefined) return listing;
  }
  const subject = "key" in span ? span.key : span.prefix;
  throw new BerthError({
    code: "BERTH_ETCD_UNAVAILABLE",
    message: `reading ${subject} failed: its revision was compacted ${MAX_ATTEMPTS} times; try again when etcd is less busy`,
  });
}

/**
 * Reads one key.
 *
 * @throws BerthError BERTH_ETCD_UNAVAILABLE
 */
export async function readOne(store: Store, key: string, signal: AbortSignal): Promise<Entry | undefined> {
  const { entries } = await readAll(store, { key }, signal);
  return entries[0];
}

/** Reads a span once. Returns undefined if its revision was compacted meanwhile. */
async function tryReadAll(store: Store, span: Span, signal: AbortSignal): Promise<Listing | undefined> {
  const entries: Entry[] = [];
  let revision = 0n;
  for await (const page of store.range(span, signal)) {
    if (page.kind === "compacted") return undefined;
    for (const entry of page.entries) entries.push(entry);
    revision = page.revision;
  }
  return { entries, revision };
}
