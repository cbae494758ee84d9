import { setTimeout as sleep } from "node:timers/promises";
import { BerthError, type ImageSource } from "@berth/proto";
import type { ImagePeers } from "./image-peers.js";
import type { LayerStore } from "./layer-store.js";

/**
 * Maximum number of layers in transfer. Two sources are busy with two each, and one source sends faster with several.
 */
const MAX_CONCURRENT_LAYERS = 4;
/** Maximum number of attempts for each source and layer. A restarting source is back after a few seconds. */
const MAX_ROUNDS = 3;
/** Delay between two rounds of attempts. */
const ROUND_DELAY_MS = 2_000;

export interface LayerFetch {
  /** Digests of the layers to fetch. A source may report them one by one. */
  readonly layers: Iterable<string> | AsyncIterable<string>;
  readonly sources: readonly ImageSource[];
  readonly peers: ImagePeers;
  readonly store: LayerStore;
  readonly onBytes: (bytes: number) => void;
}

/**
 * Fetches layers from other nodes, several at a time and from all sources. If one source cannot deliver a layer, the
 * next one is tried.
 *
 * @throws BerthError BERTH_NODE_UNREACHABLE if no source has delivered a layer
 */
export async function fetchLayers(fetch: LayerFetch, signal: AbortSignal): Promise<void> {
  const waiting = distinct(fetch.layers);
  const failed = new AbortController();
  const fetchSignal = AbortSignal.any([signal, failed.signal]);
  const work = async (): Promise<void> => {
    // The workers take the layers from one iterator. None of them ends it, because others may be waiting for it.
    for (let next = await waiting.next(); !next.done; next = await waiting.next()) {
      const [index, digest] = next.value;
      await fetchLayer(digest, index, fetch, fetchSignal);
    }
  };
  const workers = Array.from({ length: MAX_CONCURRENT_LAYERS }, () =>
    work().catch((error: unknown) => {
      failed.abort(error);
      throw error;
    }),
  );
  const results = await Promise.allSettled(workers);
  if (results.some(({ status }) => status === "rejected")) throw fetchSignal.reason;
}

async function* distinct(
  digests: Iterable<string> | AsyncIterable<string>,
): AsyncGenerator<readonly [index: number, digest: string]> {
  const seen = new Set<string>();
  for await (const digest of digests) {
    if (seen.has(digest)) continue;
    yield [seen.size, digest];
    seen.add(digest);
  }
}

/** @param index selects the first source, so that the layers are spread over all sources */
async function fetchLayer(
  digest: string,
  index: number,
  { sources, peers, store, onBytes }: LayerFetch,
  signal: AbortSignal,
): Promise<void> {
  const able = sources.filter(({ layers }) => layers.length === 0 || layers.includes(digest));
  const first = able.length === 0 ? 0 : index % able.length;
  const ordered = [...able.slice(first), ...able.slice(0, first)];
  const reasons = new Map<string, string>();
  for (let round = 0; round < MAX_ROUNDS && ordered.length > 0; round += 1) {
    if (round > 0) await sleep(ROUND_DELAY_MS, undefined, { signal });
    for (const source of ordered) {
      try {
        await peers.copyLayer(source, { digest, store, onBytes }, signal);
        return;
      } catch (error) {
        signal.throwIfAborted();
        // Another source would not help.
        if (isDiskError(error)) throw error;
        reasons.set(source.nodeId, error instanceof Error ? error.message : String(error));
      }
    }
  }
  throw noSourceError(digest, reasons);
}

function isDiskError(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT");
}

function noSourceError(digest: string, reasons: ReadonlyMap<string, string>): BerthError {
  const texts = [...reasons].map(([nodeId, reason]) => `${nodeId}: ${reason}`);
  const reasonText = texts.length === 0 ? "no connected node has it" : texts.join("; ");
  return new BerthError({
    code: "BERTH_NODE_UNREACHABLE",
    message: `no node could deliver layer ${digest.slice(0, 19)}: ${reasonText}`,
  });
}
