import { decodeUpdate } from "../core/cluster/cluster-update.js";
import { freshness } from "../core/cluster/freshness.js";
import { isObject, type JsonObject, readObject, readOptionalObject, readText } from "../core/json.js";
import { reconnectDelayMs } from "../core/stream/backoff.js";
import type { StreamEvent } from "../core/stream/event-stream.js";
import { decodeTraffic } from "../core/traffic/traffic.js";
import { readEvents } from "./api.js";
import { ApiError, decodeApiError, errorText } from "./api-error.js";
import { cluster } from "./cluster.js";

/** Number of events before the web UI was opened. */
const PAST_EVENTS = 2_000;
/** Maximum interval between two updates that a server sends. */
const HEARTBEAT_MS = 2_000;
/** How often the web UI checks whether it is still up to date. */
const CHECK_INTERVAL_MS = 500;
/** Time without an event after which a stream is replaced. */
const SILENCE_MS = 6_000;

/** How long the web UI handles messages before it lets the browser draw and react to the user. */
const TURN_MS = 8;

/** Follows the cluster with one stream, which is opened again whenever it ends. */
export class ClusterFeed {
  readonly #ended = new AbortController();
  readonly #timer: ReturnType<typeof setInterval>;
  #connection = new AbortController();
  #position = "";
  #failures = 0;
  #isConnected = false;
  #reason = "";
  /** When the last update was applied. */
  #lastMessageAtMs: number | undefined;
  /** When the stream was opened, or sent its last event, by a clock that never jumps. */
  #lastEventAtMs = 0;
  /** Smallest difference between the browser's clock and the leader's: the others include a delay. */
  #clockDifferenceMs = Number.POSITIVE_INFINITY;
  #delayMs = 0;

  constructor() {
    this.#timer = setInterval(this.#check, CHECK_INTERVAL_MS);
    void this.#run();
  }

  close(): void {
    this.#ended.abort();
    this.#connection.abort();
    clearInterval(this.#timer);
  }

  async #run(): Promise<void> {
    while (!this.#ended.signal.aborted) {
      try {
        await this.#follow();
        this.#setDisconnected("the server ended the stream");
      } catch (error) {
        if (this.#ended.signal.aborted) return;
        this.#setDisconnected(errorText(error));
        if (error instanceof ApiError && error.isUnauthenticated) return this.close();
      }
      this.#failures += 1;
      await sleep(reconnectDelayMs(this.#failures, Math.random()), this.#ended.signal);
    }
  }

  async #follow(): Promise<void> {
    this.#connection = new AbortController();
    cluster.store.dropParts();
    const options = { lastEventId: this.#position, signal: this.#connection.signal };
    // The silence of a stream that has just been opened counts from now.
    this.#lastEventAtMs = performance.now();
    let turnStartedAtMs = performance.now();
    for await (const event of readEvents(
      "WatchCluster",
      { pastEvents: PAST_EVENTS, hasTraffic: true },
      options,
    )) {
      this.#lastEventAtMs = performance.now();
      if (!this.#handle(event)) return;
      if (performance.now() - turnStartedAtMs > TURN_MS) {
        await nextTurn();
        turnStartedAtMs = performance.now();
      }
    }
  }

  /** Handles an event of the stream. Returns whether the stream can go on. */
  #handle({ name, data, id }: StreamEvent): boolean {
    const message: unknown = JSON.parse(data);
    if (!isObject(message)) return true;
    switch (name) {
      case "message": {
        const canGoOn = this.#apply(message);
        if (id !== "" && canGoOn) this.#position = id;
        return canGoOn;
      }
      case "interrupted":
        this.#setDisconnected(
          readText(readObject(message, "error"), "message") || "the leader does not answer",
        );
        return true;
      case "failure":
        throw decodeApiError(0, message);
      default:
        return true;
    }
  }

  #apply(message: JsonObject): boolean {
    const traffic = readOptionalObject(message, "traffic");
    if (traffic !== undefined) cluster.addTraffic(decodeTraffic(traffic));
    const json = readOptionalObject(message, "update");
    if (json === undefined) return true;
    const update = decodeUpdate(json, (id) => cluster.store.serviceName(id));
    if (update.nowMs > 0) this.#measureDelay(update.nowMs);
    const result = cluster.apply(update);
    if (result === "gap") {
      // Only a snapshot can repair it.
      this.#position = "";
      return false;
    }
    if (result === "incomplete") return true;
    this.#failures = 0;
    this.#isConnected = true;
    this.#reason = "";
    this.#lastMessageAtMs = Date.now();
    this.#check();
    return true;
  }

  #measureDelay(leaderMs: number): void {
    const differenceMs = Date.now() - leaderMs;
    // The clock of another leader can differ, and computers sleep: a large jump starts over.
    if (Math.abs(differenceMs - this.#clockDifferenceMs) > 60_000) this.#clockDifferenceMs = differenceMs;
    this.#clockDifferenceMs = Math.min(this.#clockDifferenceMs, differenceMs);
    this.#delayMs = differenceMs - this.#clockDifferenceMs;
    cluster.setLeaderTime(Date.now() - this.#clockDifferenceMs);
  }

  #setDisconnected(reason: string): void {
    this.#isConnected = false;
    this.#reason = reason;
    this.#check();
  }

  readonly #check = (): void => {
    const now = Date.now();
    const condition = freshness(
      {
        isConnected: this.#isConnected,
        lastMessageAtMs: this.#lastMessageAtMs,
        delayMs: this.#delayMs,
        heartbeatMs: HEARTBEAT_MS,
        reason: this.#reason,
      },
      now,
    );
    cluster.setFreshness(condition);
    const isSilent = performance.now() - this.#lastEventAtMs > SILENCE_MS;
    if (isSilent && this.#lastEventAtMs > 0) this.#connection.abort();
  };
}

/** Continues in a task of its own. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

function sleep(ms: number, abortSignal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    abortSignal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
