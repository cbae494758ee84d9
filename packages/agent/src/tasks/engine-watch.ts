import { setTimeout as sleep } from "node:timers/promises";
import type { ContainerSummary } from "../core/docker/observed-container.js";
import type { ContainerEvent } from "../core/tasks/container-event.js";
import type { Engine, EngineInfo } from "../engine/engine.js";

/** Interval between two pings. A daemon that hangs is detected within this interval plus the timeout of the ping. */
const PING_INTERVAL_MS = 5_000;
/**
 * Interval between two listings of containers. Events keep the observed state current; the listing repairs what an
 * event may have missed.
 */
const RELIST_INTERVAL_MS = 30_000;
/** Delay before the first attempt to reconnect. It doubles with each attempt. */
const RECONNECT_MIN_MS = 250;
/** Maximum delay between two attempts to reconnect. */
const RECONNECT_MAX_MS = 5_000;
/** Time before the listing from which events are requested. Processing an event twice does no harm. */
const EVENTS_OVERLAP_MS = 1_000;

const NS_PER_MS_DIGITS = "000000";

export interface EngineListener {
  /** The daemon is available. `containers` are all that this agent created. */
  onConnected(info: EngineInfo, containers: readonly ContainerSummary[]): void;
  onListed(containers: readonly ContainerSummary[]): void;
  onEvent(event: ContainerEvent): void;
  /** The daemon is unavailable. Called once, however long that lasts. */
  onDisconnected(reason: Error): void;
}

/**
 * Watches the daemon until the signal is aborted, and reconnects when it stops or hangs. An exception of the listener
 * ends the watch, because it is not a failure of the daemon.
 */
export async function watchEngine(
  engine: Engine,
  listener: EngineListener,
  signal: AbortSignal,
): Promise<void> {
  const calls = new ListenerCalls();
  let failures = 0;
  const onConnected = (): void => {
    failures = 0;
  };
  while (!signal.aborted) {
    try {
      await watchConnection({ engine, listener, calls, onConnected }, signal);
    } catch (error) {
      if (calls.failure !== undefined) throw calls.failure.error;
      if (signal.aborted) return;
      if (failures === 0) listener.onDisconnected(error instanceof Error ? error : new Error(String(error)));
    }
    const delayMs = Math.min(RECONNECT_MIN_MS * 2 ** failures, RECONNECT_MAX_MS);
    failures += 1;
    await sleep(delayMs, undefined, { signal }).catch(() => {});
  }
}

/** Calls the listener and remembers its first exception, to tell it from errors of the daemon. */
class ListenerCalls {
  failure: { readonly error: unknown } | undefined;

  run(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.failure ??= { error };
      throw error;
    }
  }
}

interface ConnectionWatch {
  readonly engine: Engine;
  readonly listener: EngineListener;
  readonly calls: ListenerCalls;
  readonly onConnected: () => void;
}

/** Watches one connection. Rejects as soon as the event stream, the ping or the listing fails. */
async function watchConnection(watch: ConnectionWatch, outer: AbortSignal): Promise<void> {
  const { engine, listener, calls, onConnected } = watch;
  const connection = new AbortController();
  const onAbort = (): void => connection.abort(outer.reason);
  outer.addEventListener("abort", onAbort, { once: true });
  const { signal } = connection;
  try {
    const sinceNs = `${Date.now() - EVENTS_OVERLAP_MS}${NS_PER_MS_DIGITS}`;
    const info = await engine.connect({ signal });
    // Events are requested before the listing, so that nothing between the two is missed.
    const events = readEvents(watch, sinceNs, signal);
    events.catch(() => {});
    const containers = await engine.list({ signal });
    calls.run(() => listener.onConnected(info, containers));
    onConnected();
    await Promise.race([
      events,
      every(PING_INTERVAL_MS, signal, () => engine.ping({ signal })),
      every(RELIST_INTERVAL_MS, signal, async () => {
        const listed = await engine.list({ signal });
        calls.run(() => listener.onListed(listed));
      }),
    ]);
  } finally {
    outer.removeEventListener("abort", onAbort);
    connection.abort();
  }
}

async function readEvents(
  { engine, listener, calls }: ConnectionWatch,
  sinceNs: string,
  signal: AbortSignal,
): Promise<never> {
  for await (const event of engine.events({ sinceNs, signal })) calls.run(() => listener.onEvent(event));
  throw new Error("Docker closed the event stream");
}

async function every(intervalMs: number, signal: AbortSignal, effect: () => Promise<void>): Promise<never> {
  for (;;) {
    await sleep(intervalMs, undefined, { signal });
    await effect();
  }
}
