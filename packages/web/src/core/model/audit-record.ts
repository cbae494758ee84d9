import { type JsonObject, readEnum, readList, readNumber, readOptionalObject, readText } from "../json.js";

const KINDS = ["change", "access", "refused"] as const;

/** A call that changed the cluster or was refused. */
export interface AuditRecord {
  readonly sequence: number;
  readonly timeMs: number;
  readonly kind: (typeof KINDS)[number] | undefined;
  readonly method: string;
  /** Identity of the caller. */
  readonly caller: string;
  readonly client: string;
  /** "service shop_web, node h1" */
  readonly subjects: string;
  readonly summary: string;
  /** Empty when the call was accepted. */
  readonly errorCode: string;
}

/** Reads a message of `StreamAudit`. Undefined for a warning. */
export function decodeAuditMessage(json: JsonObject): AuditRecord | undefined {
  const record = readOptionalObject(json, "record");
  return record && decodeAuditRecord(record);
}

function decodeAuditRecord(json: JsonObject): AuditRecord {
  return {
    sequence: readNumber(json, "sequence"),
    timeMs: readNumber(json, "timeMs"),
    kind: readEnum(json, "kind", { prefix: "KIND_", values: KINDS, fallback: undefined }),
    method: readText(json, "method"),
    caller: readText(json, "caller"),
    client: readText(json, "client"),
    subjects: readList(json, "subjects")
      .map(
        (subject) => `${readText(subject, "kind")} ${readText(subject, "name") || readText(subject, "id")}`,
      )
      .join(", "),
    summary: readText(json, "summary"),
    errorCode: readText(json, "errorCode"),
  };
}
