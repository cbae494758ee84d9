import { setTimeout as sleep } from "node:timers/promises";
import type { ContainerSummary } from "../core/docker/observed-container.js";
import type { ContainerEvent } from "../core/tasks/container-event.js";
import type { Engine, EngineInfo } from "../engine/engine.js";

/** A daemon that hangs is noticed within this and the ping's own deadline. */
const PING_INTERVAL_MS = 5_000;
/** Events are what keeps the picture true; this repairs what they may have missed. */
const RELIST_INTERVAL_MS = 30_000;
const RECONNECT_MIN_MS = 250;
const RECONNECT_MAX_MS = 5_000;
/** Events are asked for from a little before the listing: seeing one twice does no harm. */
const EVENTS_OVERLAP_MS = 1_000;

const NS_PER_MS_DIGITS = "000000";

export interface EngineListener {
  /** The daemon answers; `containers` are all of ours. */
  onConnected(info: EngineInfo, containers: readonly ContainerSummary[]): void;
  onListed(containers: readonly ContainerSummary[]): void;
  onEvent(event: ContainerEvent): void;
  /** The daemon is away. Said once, however long it stays away. */
  onAway(reason: Error): void;
}

/** Keeps watching the daemon until the signal fires: reconnects whenever it goes away or hangs. */
export async function watchEngine(
  engine: Engine,
  listener: EngineListener,
  signal: AbortSignal,
): Promise<void> {
  let failures = 0;
  const onUp = (): void => {
    failures = 0;
  };
  while (!signal.aborted) {
    try {
      await watchConnection({ engine, listener, onUp }, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (failures === 0) listener.onAway(error instanceof Error ? error : new Error(String(error)));
    }
    const delayMs = Math.min(RECONNECT_MIN_MS * 2 ** failures, RECONNECT_MAX_MS);
    failures += 1;
    await sleep(delayMs, undefined, { signal }).catch(() => {});
  }
}

interface Watch {
  readonly engine: Engine;
  readonly listener: EngineListener;
  readonly onUp: () => void;
}

/** Ends by throwing, as soon as one of its parts finds that the daemon is away. */
async function watchConnection({ engine, listener, onUp }: Watch, outer: AbortSignal): Promise<void> {
  const connection = new AbortController();
  const onAbort = (): void => connection.abort(outer.reason);
  outer.addEventListener("abort", onAbort, { once: true });
  const { signal } = connection;
  try {
    const sinceNs = `${Date.now() - EVENTS_OVERLAP_MS}${NS_PER_MS_DIGITS}`;
    const info = await engine.connect({ signal });
    // The events first, so that nothing can happen between the listing and them.
    const events = readEvents(engine, sinceNs, signal, listener);
    events.catch(() => {});
    listener.onConnected(info, await engine.list({ signal }));
    onUp();
    await Promise.race([
      events,
      every(PING_INTERVAL_MS, signal, () => engine.ping({ signal })),
      every(RELIST_INTERVAL_MS, signal, async () => listener.onListed(await engine.list({ signal }))),
    ]);
  } finally {
    outer.removeEventListener("abort", onAbort);
    connection.abort();
  }
}

async function readEvents(
  engine: Engine,
  sinceNs: string,
  signal: AbortSignal,
  listener: EngineListener,
): Promise<never> {
  for await (const event of engine.events({ sinceNs, signal })) listener.onEvent(event);
  throw new Error("Docker closed its stream of events");
}

async function every(intervalMs: number, signal: AbortSignal, effect: () => Promise<void>): Promise<never> {
  for (;;) {
    await sleep(intervalMs, undefined, { signal });
    await effect();
  }
}
