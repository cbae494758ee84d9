import type { ClusterEvent, ClusterUpdate, WatchPosition } from "@berth/proto";
import type { EventLog } from "../events/event-log.js";
import type { EventReplay } from "./event-replay.js";

/** Maximum number of past events in the first snapshot. */
const MAX_PAST_EVENTS = 10_000;

export interface MissedEventsOptions {
  readonly events: EventLog;
  /** The events of changes that were made before this term. */
  readonly replay: Pick<EventReplay, "since">;
}

/** Returns the missed events up to an event of this epoch. */
export type EventsUpTo = (eventSequence: number) => Pick<ClusterUpdate, "events" | "areEventsMissing">;

/** Finds the events that a watcher has missed when it gets a snapshot. */
export class MissedEvents {
  readonly #events: EventLog;
  readonly #replay: MissedEventsOptions["replay"];

  constructor({ events, replay }: MissedEventsOptions) {
    this.#events = events;
    this.#replay = replay;
  }

  /**
   * Returns the events after a position of this leader or of an earlier one. Without a position, returns the newest
   * past events.
   */
  async since(
    position: WatchPosition | undefined,
    { pastEvents, signal }: { readonly pastEvents: number; readonly signal: AbortSignal },
  ): Promise<EventsUpTo> {
    if (position === undefined) return (end) => this.#newest(Math.min(pastEvents, MAX_PAST_EVENTS), end);
    if (position.epoch === this.#events.epoch) return (end) => this.#ofEpoch(position.eventSequence, end);
    const replayed = await this.#replay.since(BigInt(position.revision), signal);
    return (end) => {
      const { events, areEventsMissing } = this.#ofEpoch(0, end);
      // The watcher may have got changes of this leader from its predecessor, which had not noticed its end yet.
      const isNew = ({ revision }: ClusterEvent): boolean => revision === 0 || revision > position.revision;
      return {
        events: [...(replayed ?? []), ...events.filter(isNew)],
        areEventsMissing: areEventsMissing || replayed === undefined,
      };
    };
  }

  #newest(count: number, end: number): ReturnType<EventsUpTo> {
    const { events } = this.#ofEpoch(Math.max(0, end - count), end);
    const missing = count - events.length;
    const past = missing > 0 ? this.#events.reconstructedEvents().slice(-missing) : [];
    return { events: [...past, ...events], areEventsMissing: false };
  }

  /** Returns the events of this epoch after `start`, up to `end`. */
  #ofEpoch(start: number, end: number): ReturnType<EventsUpTo> {
    const events: ClusterEvent[] = [];
    const first = Math.max(start + 1, this.#events.firstSequence);
    for (let sequence = first; sequence <= end; sequence += 1) {
      const event = this.#events.get(sequence);
      if (event !== undefined) events.push(event);
    }
    return { events, areEventsMissing: first > start + 1 };
  }
}
