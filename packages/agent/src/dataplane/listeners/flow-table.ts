/** As the kernel's connection tracking does: a question nobody answered is soon forgotten, a conversation is kept. */
const UNANSWERED_MS = 30_000;
const ANSWERED_MS = 180_000;

interface Entry<Flow> {
  readonly flow: Flow;
  lastMs: number;
}

/** A flow as it is at a moment. */
export interface KnownFlow<Flow> {
  readonly client: string;
  readonly flow: Flow;
  readonly isAnswered: boolean;
  readonly idleMs: number;
}

/**
 * UDP flows by client, bounded, with idle expiry. Two queues, each in the order of last use and each with one
 * lifetime: the oldest of a queue is its first entry, so that expiry and eviction look at nothing else.
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

  /** The client's flow, now the most recently used one. */
  use(client: string, nowMs: number): Flow | undefined {
    return touch(this.#answered, client, nowMs) ?? touch(this.#unanswered, client, nowMs);
  }

  /** The endpoint has answered: from now on the flow lives longer. */
  answered(client: string, nowMs: number): void {
    if (touch(this.#answered, client, nowMs) !== undefined) return;
    const entry = this.#unanswered.get(client);
    if (entry === undefined) return;
    this.#unanswered.delete(client);
    entry.lastMs = nowMs;
    this.#answered.set(client, entry);
  }

  /** Adds a flow and returns the one that had to go for it: the oldest unanswered one, else the oldest of all. */
  add(client: string, flow: Flow, nowMs: number): Flow | undefined {
    const evicted = this.size >= this.#maxFlows ? this.evict() : undefined;
    this.#unanswered.set(client, { flow, lastMs: nowMs });
    return evicted;
  }

  /** Adds a flow that was used before, after those that were used before it. */
  restore({ client, flow, isAnswered, idleMs }: KnownFlow<Flow>, nowMs: number): void {
    const queue = isAnswered ? this.#answered : this.#unanswered;
    queue.set(client, { flow, lastMs: nowMs - idleMs });
  }

  /** Those of conversations first, the last used one of each kind first. */
  known(nowMs: number): readonly KnownFlow<Flow>[] {
    return [...listed(this.#answered, true, nowMs), ...listed(this.#unanswered, false, nowMs)];
  }

  /** Removes and returns the oldest unanswered flow, or the oldest of all. */
  evict(): Flow | undefined {
    return shift(this.#unanswered) ?? shift(this.#answered);
  }

  delete(client: string): void {
    this.#unanswered.delete(client);
    this.#answered.delete(client);
  }

  /** Removes and returns what was idle for too long. Looks at expired flows only. */
  expire(nowMs: number): readonly Flow[] {
    return [
      ...expired(this.#unanswered, nowMs - UNANSWERED_MS),
      ...expired(this.#answered, nowMs - ANSWERED_MS),
    ];
  }

  /** Removes and returns all flows. */
  clear(): readonly Flow[] {
    return [
      ...expired(this.#unanswered, Number.POSITIVE_INFINITY),
      ...expired(this.#answered, Number.POSITIVE_INFINITY),
    ];
  }
}

function listed<Flow>(
  queue: ReadonlyMap<string, Entry<Flow>>,
  isAnswered: boolean,
  nowMs: number,
): readonly KnownFlow<Flow>[] {
  const flows = [...queue].map(([client, { flow, lastMs }]) => ({
    client,
    flow,
    isAnswered,
    idleMs: nowMs - lastMs,
  }));
  return flows.reverse();
}

function touch<Flow>(queue: Map<string, Entry<Flow>>, client: string, nowMs: number): Flow | undefined {
  const entry = queue.get(client);
  if (entry === undefined) return undefined;
  entry.lastMs = nowMs;
  queue.delete(client);
  queue.set(client, entry);
  return entry.flow;
}

function shift<Flow>(queue: Map<string, Entry<Flow>>): Flow | undefined {
  for (const [client, { flow }] of queue) {
    queue.delete(client);
    return flow;
  }
  return undefined;
}

function expired<Flow>(queue: Map<string, Entry<Flow>>, lastUseMs: number): readonly Flow[] {
  const flows: Flow[] = [];
  for (const [client, entry] of queue) {
    if (entry.lastMs > lastUseMs) break;
    queue.delete(client);
    flows.push(entry.flow);
  }
  return flows;
}
