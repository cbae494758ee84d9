import type { AuditRecord, AuditSubject } from "@berth/proto";

/** Maximum number of subjects in a record. A call can have thousands. */
const MAX_SUBJECTS = 10;

/** Maximum length of a name in a record. Names in refused calls are not validated. */
const MAX_NAME_LENGTH = 128;

/** Maximum length of a summary. */
export const MAX_SUMMARY_LENGTH = 400;

/** Size of a record without its texts, as JSON with its key: field names, numbers, and etcd's metadata. */
const OVERHEAD_BYTES = 500;

/** Size of a subject without its texts. */
const SUBJECT_OVERHEAD_BYTES = 40;

/** The parts of a record that describe the call. */
export type AuditedCall = Pick<
  AuditRecord,
  "kind" | "method" | "caller" | "client" | "forwardedBy" | "summary" | "errorCode" | "count"
> & {
  readonly subjects: readonly AuditSubject[];
};

/** The parts of a record that the audit log assigns. */
export type AuditPosition = Pick<AuditRecord, "sequence" | "timeMs" | "server" | "epoch" | "call">;

/** Returns a record of bounded size. Its texts are printable ASCII. */
export function createAuditRecord(call: AuditedCall, position: AuditPosition): AuditRecord {
  const subjects = call.subjects.slice(0, MAX_SUBJECTS).map(({ kind, id, name }) => ({
    kind,
    id: toAuditText(id),
    name: toAuditText(name),
  }));
  return {
    ...position,
    kind: call.kind,
    method: toAuditText(call.method),
    caller: toAuditText(call.caller),
    client: toAuditText(call.client),
    forwardedBy: toAuditText(call.forwardedBy),
    subjects,
    omittedSubjects: call.subjects.length - subjects.length,
    summary: toAuditText(call.summary, MAX_SUMMARY_LENGTH),
    errorCode: toAuditText(call.errorCode),
    count: call.count,
  };
}

/** Replaces everything but printable ASCII, and shortens the text. */
export function toAuditText(text: string, maxLength = MAX_NAME_LENGTH): string {
  const short = text.length <= maxLength ? text : `${text.slice(0, maxLength - 3)}...`;
  return short.replace(/[^\x20-\x7e]/g, "?");
}

/** Estimates the bytes that a record takes in the store. */
export function auditRecordBytes(record: AuditRecord): number {
  const { method, caller, client, forwardedBy, summary, subjects, server } = record;
  const texts = [method, caller, client, forwardedBy, summary, server];
  let bytes = OVERHEAD_BYTES + texts.reduce((sum, text) => sum + text.length, 0);
  for (const { id, name } of subjects) bytes += SUBJECT_OVERHEAD_BYTES + id.length + name.length;
  return bytes;
}
