import type { LogEntry, Task } from "@berth/proto";
import type { TaskLog } from "../../dispatcher/relays/log-relay.js";

/** A line of a task's log, or the error after which the rest of the log is missing. */
export type MergedLine =
  | { readonly kind: "line"; readonly task: Task; readonly entry: LogEntry }
  | { readonly kind: "lost"; readonly task: Task; readonly error: unknown };

/** The log of one task, in batches. */
export interface LogSource {
  readonly task: Task;
  readonly log: Pick<TaskLog, "take">;
}

/** One source and the position of its next entry, in its current batch. */
interface Head extends LogSource {
  readonly entries: readonly LogEntry[];
  readonly index: number;
}

/** Merges past logs by the times of their lines. A log that cannot be read yields one `lost`. */
export async function* mergePastLogs(sources: readonly LogSource[]): AsyncGenerator<MergedLine> {
  const heads: Head[] = [];
  for (const first of await Promise.all(sources.map(nextHead))) {
    if (first.kind === "head") {
      insert(heads, first.head);
    } else if (first.kind === "lost") {
      yield first;
    }
  }
  for (let head = heads.shift(); head !== undefined; head = heads.shift()) {
    const entry = head.entries[head.index];
    if (entry !== undefined) yield { kind: "line", task: head.task, entry };
    if (head.index + 1 < head.entries.length) {
      insert(heads, { ...head, index: head.index + 1 });
      continue;
    }
    const next = await nextHead(head);
    if (next.kind === "head") {
      insert(heads, next.head);
    } else if (next.kind === "lost") {
      yield next;
    }
  }
}

type NextHead =
  | { readonly kind: "head"; readonly head: Head }
  | Extract<MergedLine, { readonly kind: "lost" }>
  | { readonly kind: "end" };

async function nextHead({ task, log }: LogSource): Promise<NextHead> {
  try {
    const entries = await log.take();
    return entries === undefined ? { kind: "end" } : { kind: "head", head: { task, log, entries, index: 0 } };
  } catch (error) {
    return { kind: "lost", task, error };
  }
}

/** Keeps the heads sorted. A task often writes several lines in a row, so the position is usually near the front. */
function insert(heads: Head[], head: Head): void {
  let position = 0;
  while (position < heads.length && isNotAfter(heads[position], head)) position += 1;
  heads.splice(position, 0, head);
}

function isNotAfter(a: Head | undefined, b: Head): boolean {
  return compareTimes(a?.entries[a.index]?.timeNs ?? "", b.entries[b.index]?.timeNs ?? "") <= 0;
}

/** Compares times in ns since 1970, as decimal text: they exceed the safe integers. */
export function compareTimes(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Returns the text of an error after which a log is missing. */
export function formatLogError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
