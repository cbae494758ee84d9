import type { AuditedCall } from "./audit-record.js";

/** Limit of groups between two writes. Calls beyond it are counted in one further group. */
const MAX_GROUPS = 20;

/** The method of the group that counts the calls beyond the limit. */
const OTHER_METHODS = "(other)";

/**
 * Groups the refused calls since the last write by caller, host, method and error. Together with the interval between
 * writes, this limits how many records a client can cause.
 */
export class RefusedCalls {
  readonly #groups = new Map<string, AuditedCall>();

  get isEmpty(): boolean {
    return this.#groups.size === 0;
  }

  add(call: AuditedCall): void {
    const key = groupKey(call);
    if (this.#groups.has(key) || this.#groups.size < MAX_GROUPS) this.#count(key, call);
    else this.#count("", withoutDetails(call));
  }

  /** Returns all groups and removes them. */
  take(): readonly AuditedCall[] {
    const groups = [...this.#groups.values()];
    this.#groups.clear();
    return groups;
  }

  #count(key: string, call: AuditedCall): void {
    const first = this.#groups.get(key);
    this.#groups.set(key, first === undefined ? call : { ...first, count: first.count + call.count });
  }
}

/** Returns a call that stands for different ones. Its error is that of the first one. */
function withoutDetails(call: AuditedCall): AuditedCall {
  const { kind, errorCode, count } = call;
  return {
    kind,
    method: OTHER_METHODS,
    caller: "",
    client: "",
    forwardedBy: "",
    subjects: [],
    summary: "",
    errorCode,
    count,
  };
}

/** Ignores the client's port, which changes with each connection, and the subjects, which a client can vary. */
function groupKey({ method, caller, client, errorCode }: AuditedCall): string {
  return JSON.stringify([method, caller, client.slice(0, client.lastIndexOf(":")), errorCode]);
}
