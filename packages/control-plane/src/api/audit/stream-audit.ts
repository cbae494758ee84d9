import type { AuditRecord, StreamAuditRequest, StreamAuditResponse } from "@berth/proto";
import { linkSignals, onAbort } from "../../runtime/abort.js";
import type { ApiContext } from "../api-context.js";

/** Number of records per read, so that a slow caller does not hold a copy of the whole log. */
const RECORDS_PER_CHUNK = 100;

/**
 * Streams records, oldest first; with `follow`, continues with new records until the caller leaves or the term ends.
 * All leaders continue the same sequence, so a caller can resume with any leader.
 */
export async function* streamAudit(
  request: StreamAuditRequest,
  { state, signal: term }: Pick<ApiContext, "state" | "signal">,
  caller: AbortSignal,
): AsyncGenerator<StreamAuditResponse> {
  const link = linkSignals(caller, term);
  let position = findStart(request, state.audit.after(0));
  let missed = 0;
  let wake = (): void => {};
  const unsubscribe = state.onChange(({ audit }) => {
    for (const [sequence, { after }] of audit) {
      if (after === undefined && sequence > position) missed += 1;
    }
    if (audit.size > 0) wake();
  });
  const stopWatching = onAbort(link.signal, () => wake());
  try {
    while (!link.signal.aborted) {
      if (missed > 0) {
        const text = `${missed} records were removed before they could be read`;
        missed = 0;
        yield warning(text);
      }
      const records = state.audit.after(position, RECORDS_PER_CHUNK);
      position = records.at(-1)?.sequence ?? position;
      for (const record of records) {
        if (link.signal.aborted) break;
        yield { message: { $case: "record", value: record } };
      }
      if (records.length > 0) continue;
      if (!request.follow) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    link.signal.throwIfAborted();
  } finally {
    unsubscribe();
    stopWatching();
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
  const first = records.findIndex(({ timeMs }) => timeMs >= sinceMs);
  const start = Math.max(first < 0 ? records.length : first, limit === 0 ? 0 : records.length - limit);
  return records[start - 1]?.sequence ?? 0;
}

function warning(value: string): StreamAuditResponse {
  return { message: { $case: "warning", value } };
}
