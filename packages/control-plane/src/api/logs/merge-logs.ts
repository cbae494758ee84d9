import { isBerthError, type LogEntry, type Task } from "@berth/proto";
import type { TaskLog } from "../../dispatcher/relays/log-relay.js";

/** A line of some task's log, or that the rest of it is missing. */
export type MergedLine =
  | { readonly kind: "line"; readonly task: Task; readonly chunk: LogEntry }
  | { readonly kind: "lost"; readonly task: Task; readonly error: unknown };

export interface LogSource {
  readonly task: Task;
  readonly log: Pick<TaskLog, "take">;
}

interface Head extends LogSource {
  readonly chunks: readonly LogEntry[];
  readonly index: number;
}

/** All lines of logs that end, in the order of their times. A log that cannot be read is said to be lost. */
export async function* mergeEnded(sources: readonly LogSource[]): AsyncGenerator<MergedLine> {
  const heads: Head[] = [];
  for (const first of await Promise.all(sources.map(nextHead))) {
    if (first.kind === "head") insert(heads, first.head);
    else if (first.kind === "lost") yield first;
  }
  for (let head = heads.shift(); head !== undefined; head = heads.shift()) {
    const chunk = head.chunks[head.index];
    if (chunk !== undefined) yield { kind: "line", task: head.task, chunk };
    if (head.index + 1 < head.chunks.length) {
      insert(heads, { ...head, index: head.index + 1 });
      continue;
    }
    const next = await nextHead(head);
    if (next.kind === "head") insert(heads, next.head);
    else if (next.kind === "lost") yield next;
  }
}

type Next =
  | { readonly kind: "head"; readonly head: Head }
  | Extract<MergedLine, { readonly kind: "lost" }>
  | { readonly kind: "end" };

async function nextHead({ task, log }: LogSource): Promise<Next> {
  try {
    const chunks = await log.take();
    return chunks === undefined ? { kind: "end" } : { kind: "head", head: { task, log, chunks, index: 0 } };
  } catch (error) {
    return { kind: "lost", task, error };
  }
}

/** Keeps the heads sorted: mostly one task writes several lines in a row, so the place is found near the front. */
function insert(heads: Head[], head: Head): void {
  let place = 0;
  while (place < heads.length && isBefore(heads[place], head)) place += 1;
  heads.splice(place, 0, head);
}

function isBefore(a: Head | undefined, b: Head): boolean {
  return compareTimes(a?.chunks[a.index]?.timeNs ?? "", b.chunks[b.index]?.timeNs ?? "") <= 0;
}

/** Compares decimal text as numbers: nanoseconds since 1970 do not fit a number. */
export function compareTimes(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : Number(a > b);
}

export function reasonOf(error: unknown): string {
  if (isBerthError(error)) return error.message;
  return error instanceof Error ? error.message : String(error);
}
