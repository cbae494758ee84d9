import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { readMessages } from "../../app/api.js";
import { errorText } from "../../app/api-error.js";
import { type AuditRecord, decodeAuditMessage } from "../../core/model/audit-record.js";
import { formatDateTime } from "../../format/format.js";
import { DataTable } from "../shared/data-table.js";

/** Number of records that the web UI shows. */
const SHOWN = 200;

/** The newest records of the audit log; new ones follow. */
export function AuditLog(): JSX.Element {
  const records = useSignal<readonly AuditRecord[]>([]);
  const error = useSignal("");
  useEffect(() => {
    const ended = new AbortController();
    const follow = async (): Promise<void> => {
      for await (const message of readMessages("StreamAudit", { follow: true, limit: SHOWN }, ended.signal)) {
        const record = decodeAuditMessage(message);
        if (record !== undefined) records.value = [record, ...records.value].slice(0, SHOWN);
      }
    };
    follow().catch((reason: unknown) => {
      if (!ended.signal.aborted) error.value = errorText(reason);
    });
    return () => ended.abort();
  }, []);
  return (
    <>
      {error.value !== "" && <p class="error">{error.value}</p>}
      <DataTable
        caption="Audit log, newest first"
        rows={records.value}
        keyOf={({ sequence }) => String(sequence)}
        empty="No records."
        columns={[
          { title: "Time", cell: ({ timeMs }) => formatDateTime(timeMs) },
          { title: "Caller", cell: ({ caller, client }) => caller || client },
          { title: "Method", cell: ({ method }) => method },
          { title: "Result", cell: ({ errorCode, kind }) => errorCode || kind },
          { title: "Subject", cell: ({ subjects }) => subjects },
          { title: "Summary", cell: ({ summary }) => summary },
        ]}
      />
    </>
  );
}
