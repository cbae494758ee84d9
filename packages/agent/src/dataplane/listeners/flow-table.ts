/** Idle timeout of a flow without a reply, as in conntrack's `nf_conntrack_udp_timeout`. */
const UNANSWERED_IDLE_TIMEOUT_MS = 30_000;
/** Idle timeout of a flow with a reply. Conntrack uses 120 s, and used 180 s before Linux 5.0. */
const ANSWERED_IDLE_TIMEOUT_MS = 180_000;

interface Entry<Flow> {
  readonly flow: Flow;
  lastUsedMs: number;
}

/** A client's flow, as a snapshot contains it. */
export interface FlowState<Flow> {
  readonly client: string;
  readonly flow: Flow;
  readonly isAnswered: boolean;
  readonly idleMs: number;
}

/**
 * Tracks the flows of a UDP listener by client, up to a limit, and expires idle flows. Unanswered and answered flows
 * are kept in two maps, each with one timeout and ordered by last use. The first entry of a map is its oldest, so
 * expiry stops at the first fresh flow, and eviction looks at one entry.
 */
export class FlowTable<Flow> {
  readonly #unanswered = new Map<string, Entry<Flow>>();
  readonly #answered = new Map<string, Entry<Flow>>();
  readonly #maxFlows: number;

  constructor(maxFlows: number) {
    this.#maxFlows = maxFlows;
  }

  get size(): number {
    return this.#unanswered.size + this.#answered.size;
  }

  /** Returns the client's flow and marks it as the most recently used. */
  use(client: string, nowMs: number): Flow | undefined {
    return touch(this.#answered, client, nowMs) ?? touch(this.#unanswered, client, nowMs);
  }

  /** Records a reply from the endpoint: the flow gets the longer timeout. */
  recordReply(client: string, nowMs: number): void {
    if (touch(this.#answered, client, nowMs) !== undefined) return;
    const entry = this.#unanswered.get(client);
    if (entry === undefined) return;
    this.#unanswered.delete(client);
    entry.lastUsedMs = nowMs;
    this.#answered.set(client, entry);
  }

  /** Adds a flow of a client that has none. Returns the evicted flow if the table was full. */
  add(client: string, flow: Flow, nowMs: number): Flow | undefined {
    const evicted = this.size >= this.#maxFlows ? this.evict() : undefined;
    this.#unanswered.set(client, { flow, lastUsedMs: nowMs });
    return evicted;
  }

  /** Adds a flow from another process's snapshot. Call it in the order of last use, the oldest first. */
  restore({ client, flow, isAnswered, idleMs }: FlowState<Flow>, nowMs: number): void {
    const flows = isAnswered ? this.#answered : this.#unanswered;
    flows.set(client, { flow, lastUsedMs: nowMs - idleMs });
  }

  /** Returns all flows: answered before unanswered ones, each group with the most recently used first. */
  snapshot(nowMs: number): readonly FlowState<Flow>[] {
    return [...newestFirst(this.#answered, true, nowMs), ...newestFirst(this.#unanswered, false, nowMs)];
  }

  /** Removes and returns the oldest unanswered flow; if there is none, the oldest answered one. */
  evict(): Flow | undefined {
    return removeOldest(this.#unanswered) ?? removeOldest(this.#answered);
  }

  delete(client: string): void {
    this.#unanswered.delete(client);
    this.#answered.delete(client);
  }

  /** Removes and returns the flows that were idle for too long. Visits expired flows only. */
  expire(nowMs: number): readonly Flow[] {
    return [
      ...removeUnusedSince(this.#unanswered, nowMs - UNANSWERED_IDLE_TIMEOUT_MS),
      ...removeUnusedSince(this.#answered, nowMs - ANSWERED_IDLE_TIMEOUT_MS),
    ];
  }

  /** Removes and returns all flows. */
  clear(): readonly Flow[] {
    return [
      ...removeUnusedSince(this.#unanswered, Number.POSITIVE_INFINITY),
      ...removeUnusedSince(this.#answered, Number.POSITIVE_INFINITY),
    ];
  }
}

function newestFirst<Flow>(
  entries: ReadonlyMap<string, Entry<Flow>>,
  isAnswered: boolean,
  nowMs: number,
): readonly FlowState<Flow>[] {
  const flows = [...entries].map(([client, { flow, lastUsedMs }]) => ({
    client,
    flow,
    isAnswered,
    idleMs: nowMs - lastUsedMs,
  }));
  return flows.reverse();
}

function touch<Flow>(entries: Map<string, Entry<Flow>>, client: string, nowMs: number): Flow | undefined {
  const entry = entries.get(client);
  if (entry === undefined) return undefined;
  entry.lastUsedMs = nowMs;
  entries.delete(client);
  entries.set(client, entry);
  return entry.flow;
}

function removeOldest<Flow>(entries: Map<string, Entry<Flow>>): Flow | undefined {
  for (const [client, { flow }] of entries) {
    entries.delete(client);
    return flow;
  }
  return undefined;
}

function removeUnusedSince<Flow>(entries: Map<string, Entry<Flow>>, lastUseMs: number): readonly Flow[] {
  const flows: Flow[] = [];
  for (const [client, entry] of entries) {
    if (entry.lastUsedMs > lastUseMs) break;
    entries.delete(client);
    flows.push(entry.flow);
  }
  return flows;
}
