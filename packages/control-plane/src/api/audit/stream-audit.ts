import type { AuditRecord, StreamAuditRequest, StreamAuditResponse } from "@berth/proto";
import { linkSignals } from "../../runtime/abort.js";
import { Notifier } from "../../runtime/notifier.js";
import type { ApiContext } from "../api-context.js";

/** Number of records per read, so that a slow caller does not hold a copy of the whole log. */
const READ_BATCH_SIZE = 100;

/**
 * Streams records, oldest first; with `follow`, continues with new records until the caller cancels or the term ends.
 * All leaders continue the same sequence, so a caller can resume with any leader.
 */
export async function* streamAudit(
  request: StreamAuditRequest,
  { state, signal: termSignal }: Pick<ApiContext, "state" | "signal">,
  callerSignal: AbortSignal,
): AsyncGenerator<StreamAuditResponse> {
  const link = linkSignals(callerSignal, termSignal);
  let position = findStart(request, state.audit.after(0));
  /** Number of records that were removed before this call read them. */
  let removedUnread = 0;
  const changed = new Notifier();
  const unsubscribe = state.onChange(({ audit }) => {
    for (const [sequence, { after }] of audit) {
      if (after === undefined && sequence > position) removedUnread += 1;
    }
    if (audit.size > 0) changed.notifyAll();
  });
  try {
    while (!link.signal.aborted) {
      if (removedUnread > 0) {
        const text = removedRecordsText(removedUnread);
        removedUnread = 0;
        yield warning(text);
      }
      const records = state.audit.after(position, READ_BATCH_SIZE);
      position = records.at(-1)?.sequence ?? position;
      for (const record of records) {
        if (link.signal.aborted) break;
        yield { message: { $case: "record", value: record } };
      }
      if (records.length > 0) continue;
      if (!request.follow) return;
      await changed.wait(link.signal);
    }
    link.signal.throwIfAborted();
  } finally {
    unsubscribe();
    link.unlink();
  }
}

/** Returns the sequence number after which the stream starts. */
function findStart(
  { afterSequence, sinceMs, limit }: StreamAuditRequest,
  records: readonly AuditRecord[],
): number {
  const last = records.at(-1)?.sequence ?? 0;
  // After a restore from a backup, the log can end before the caller's position.
  if (afterSequence > 0) return Math.min(afterSequence, last);
  const firstSince = records.findIndex(({ timeMs }) => timeMs >= sinceMs);
  const firstOfLimit = limit === 0 ? 0 : records.length - limit;
  const start = Math.max(firstSince < 0 ? records.length : firstSince, firstOfLimit);
  return records[start - 1]?.sequence ?? 0;
}

function removedRecordsText(count: number): string {
  const records = count === 1 ? "1 record was" : `${count} records were`;
  return `${records} removed before this call could read them`;
}

function warning(value: string): StreamAuditResponse {
  return { message: { $case: "warning", value } };
}
