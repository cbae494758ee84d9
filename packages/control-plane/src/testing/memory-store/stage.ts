import { assertNever } from "@berth/proto";
import type { Entry, Op, OpResult, WatchEvent } from "../../store/store.js";
import type { History } from "./history.js";

export interface Staged {
  /** What the next revision changes, each key once, in the order of the ops. */
  readonly events: readonly WatchEvent[];
  readonly results: readonly OpResult[];
}

/** Works out what the ops of one transaction do to the newest state, without doing it. Later ops see what earlier ones wrote. */
export function stage(ops: readonly Op[], history: History): Staged {
  const staging = new Staging(history);
  const results = ops.map((op) => staging.apply(op));
  return { events: [...staging.events.values()], results };
}

class Staging {
  readonly events = new Map<string, WatchEvent>();
  readonly #history: History;
  readonly #revision: bigint;

  constructor(history: History) {
    this.#history = history;
    this.#revision = history.revision + 1n;
  }

  apply(op: Op): OpResult {
    switch (op.kind) {
      case "get":
        return { kind: "get", entry: this.#entry(op.key) };
      case "put":
        return this.#put(op);
      case "delete":
        return { kind: "deleted", count: this.#delete(op.key) };
      case "delete-prefix":
        return { kind: "deleted", count: this.#deletePrefix(op.prefix) };
      default:
        return assertNever(op);
    }
  }

  #entry(key: string): Entry | undefined {
    const event = this.events.get(key);
    if (event === undefined) return this.#history.entry(key);
    return event.kind === "put" ? event.entry : undefined;
  }

  #put({ key, value, leaseId }: Extract<Op, { kind: "put" }>): OpResult {
    const createRevision = this.#entry(key)?.createRevision ?? this.#revision;
    const entry = { key, value, createRevision, modRevision: this.#revision, ...(leaseId && { leaseId }) };
    this.events.set(key, { kind: "put", key, modRevision: this.#revision, entry });
    return { kind: "put" };
  }

  #delete(key: string): number {
    if (this.#entry(key) === undefined) return 0;
    this.events.set(key, { kind: "delete", key, modRevision: this.#revision });
    return 1;
  }

  #deletePrefix(prefix: string): number {
    const all = { revision: this.#history.revision, limit: Number.POSITIVE_INFINITY, after: "" };
    let count = 0;
    for (const { key } of this.#history.entries({ prefix }, all)) count += this.#delete(key);
    return count;
  }
}
