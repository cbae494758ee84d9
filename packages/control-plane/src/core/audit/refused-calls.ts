import type { AuditedCall } from "./audit-record.js";

/** Maximum number of groups, including groups that were written less than a minute ago. */
const MAX_GROUPS = 30;

/** Maximum number of groups of one caller, so that one misbehaving caller leaves groups for others. */
const MAX_CALLER_GROUPS = 5;

/** Shortest interval between two writes of a group. The interval doubles while its calls keep being refused. */
const MIN_INTERVAL_MS = 60_000;

/** Longest interval between two writes of a group. */
const MAX_INTERVAL_MS = 60 * 60_000;

/** Method name of the groups that count calls beyond a limit. */
const OTHER_METHODS = "(other)";

interface Group {
  readonly caller: string;
  /** The calls since the last write. Undefined if there were none. */
  readonly call: AuditedCall | undefined;
  /** Earliest time of the next write. */
  readonly dueMs: number;
  /** Time until the write after the next one. */
  readonly intervalMs: number;
}

/**
 * Groups refused calls by caller, host, method and error. The limits of groups and the intervals bound the number of
 * records that a caller can cause: a group is due at once, then after a minute, then after twice the time, up to an
 * hour.
 */
export class RefusedCalls {
  readonly #groups = new Map<string, Group>();

  /** True if no calls wait to be written. */
  get isEmpty(): boolean {
    for (const { call } of this.#groups.values()) {
      if (call !== undefined) return false;
    }
    return true;
  }

  add(call: AuditedCall, nowMs: number): void {
    const key = groupKey(call);
    if (this.#groups.has(key)) {
      this.#count(key, call, nowMs);
      return;
    }
    this.#removeIdle(nowMs);
    const caller = callerKey(call);
    const isFull = this.#groups.size >= MAX_GROUPS;
    const callerGroupCount = [...this.#groups.values()].filter((group) => group.caller === caller).length;
    const otherCalls = { ...call, method: OTHER_METHODS, subjects: [], summary: "" };
    const restKey = JSON.stringify([caller]);
    if (!isFull && callerGroupCount < MAX_CALLER_GROUPS) {
      this.#count(key, call, nowMs);
    } else if (!isFull || this.#groups.has(restKey)) {
      this.#count(restKey, otherCalls, nowMs);
    } else {
      this.#count("", { ...otherCalls, caller: "", client: "", forwardedBy: "" }, nowMs);
    }
  }

  /** Returns the calls that are due, one for each group, and removes them. */
  take(nowMs: number): readonly AuditedCall[] {
    const taken: AuditedCall[] = [];
    for (const [key, group] of this.#groups) {
      if (group.call === undefined || group.dueMs > nowMs) continue;
      taken.push(group.call);
      const { caller, intervalMs } = group;
      this.#groups.set(key, {
        caller,
        call: undefined,
        dueMs: nowMs + intervalMs,
        intervalMs: Math.min(intervalMs * 2, MAX_INTERVAL_MS),
      });
    }
    return taken;
  }

  #count(key: string, call: AuditedCall, nowMs: number): void {
    const group = this.#groups.get(key) ?? {
      caller: key === "" ? "" : callerKey(call),
      call: undefined,
      dueMs: nowMs,
      intervalMs: MIN_INTERVAL_MS,
    };
    const first = group.call;
    const counted = first === undefined ? call : { ...first, count: first.count + call.count };
    this.#groups.set(key, { ...group, call: counted });
  }

  /** Removes the groups without new calls whose interval is over. */
  #removeIdle(nowMs: number): void {
    for (const [key, { call, dueMs }] of this.#groups) {
      if (call === undefined && dueMs <= nowMs) this.#groups.delete(key);
    }
  }
}

/** Ignores the client's port, which changes with each connection, and the subjects, which a client can vary. */
function groupKey(call: AuditedCall): string {
  const { method, caller, errorCode } = call;
  return JSON.stringify([method, caller, hostOf(call), errorCode]);
}

/** Callers without an identity count by their host. */
function callerKey(call: AuditedCall): string {
  return call.caller === "" ? `host ${hostOf(call)}` : call.caller;
}

/** Returns the host of the client. The client of a Unix socket, "the server's host", has no port. */
function hostOf({ client }: AuditedCall): string {
  const colon = client.lastIndexOf(":");
  return colon < 0 ? client : client.slice(0, colon);
}
