import { BerthError } from "@berth/proto";
import type { Entry, Span, Store } from "./store.js";

export interface Listing {
  readonly entries: readonly Entry[];
  /** All entries are as of this revision; watch from the one after it. */
  readonly revision: bigint;
}

/** A long read can lose its revision to compaction. Three times in a row means that reading is slower than the history lasts. */
const MAX_ATTEMPTS = 3;

/**
 * Reads a whole span at one revision, starting again if the revision is compacted meanwhile.
 * @throws BerthError BERTH_ETCD_UNAVAILABLE
 */
export async function readAll(store: Store, span: Span, signal: AbortSignal): Promise<Listing> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const listing = await readOnce(store, span, signal);
    if (listing !== undefined) return listing;
  }
  throw new BerthError({
    code: "BERTH_ETCD_UNAVAILABLE",
    message: `Reading ${"key" in span ? span.key : span.prefix} was overtaken by compaction ${MAX_ATTEMPTS} times. Try again when etcd is less busy.`,
  });
}

/** Reads one key. @throws BerthError BERTH_ETCD_UNAVAILABLE */
export async function readOne(store: Store, key: string, signal: AbortSignal): Promise<Entry | undefined> {
  const { entries } = await readAll(store, { key }, signal);
  return entries[0];
}

async function readOnce(store: Store, span: Span, signal: AbortSignal): Promise<Listing | undefined> {
  const entries: Entry[] = [];
  let revision = 0n;
  for await (const page of store.range(span, signal)) {
    if (page.kind === "compacted") return undefined;
    for (const entry of page.entries) entries.push(entry);
    revision = page.revision;
  }
  return { entries, revision };
}
