import type { ClusterEvent } from "../model/event.js";

/** Number of events that the web UI keeps. */
export const MAX_EVENTS = 5_000;

export interface ReceivedEvent extends ClusterEvent {
  /** When the web UI received the event, by the leader's clock. From then on, the map shows its effect. */
  readonly receivedAtMs: number;
}

/** The events that the web UI has received, oldest first, each once. */
export class EventLog {
  #events: readonly ReceivedEvent[] = [];
  readonly #keys = new Set<string>();

  get events(): readonly ReceivedEvent[] {
    return this.#events;
  }

  /** Adds events. Returns whether there was a new one. */
  add(events: readonly ClusterEvent[], receivedAtMs: number): boolean {
    const added = events.filter((event) => {
      const key = eventKey(event);
      if (this.#keys.has(key)) return false;
      this.#keys.add(key);
      return true;
    });
    if (added.length === 0) return false;
    const all = [...this.#events, ...added.map((event) => ({ ...event, receivedAtMs }))];
    const isSorted = added.every(
      (event, index) => event.timeMs >= (added[index - 1] ?? this.#events.at(-1) ?? event).timeMs,
    );
    if (!isSorted) all.sort((a, b) => a.timeMs - b.timeMs);
    for (const event of all.slice(0, -MAX_EVENTS)) this.#keys.delete(eventKey(event));
    this.#events = all.slice(-MAX_EVENTS);
    return true;
  }
}

/** Identifies an event. Those that were reconstructed from records have no sequence number. */
function eventKey({ epoch, sequence, timeMs, reason, taskId, serviceId, nodeId }: ClusterEvent): string {
  return sequence > 0 ? `${epoch}/${sequence}` : `${timeMs}/${reason}/${taskId || serviceId || nodeId}`;
}
