import type { AuditRecord, AuditSubject } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { resumeStream } from "../../client/leader-change.js";
import { parseLimit, parseTimeMs } from "../../options/parse-options.js";
import { printWarning } from "../../output/print.js";
import { type Column, formatTable, oneLine } from "../../output/table.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface AuditOptions extends GlobalOptions {
  readonly follow?: boolean;
  readonly since?: string;
  readonly limit?: string;
}

/** Columns, with the widths that `--follow` uses, because the width of later rows is not known yet. */
const AUDIT_COLUMNS: readonly (Column<AuditRecord> & { readonly width: number })[] = [
  { title: "TIME", width: 24, cell: ({ timeMs }) => new Date(timeMs).toISOString() },
  { title: "WHO", width: 10, cell: ({ caller }) => caller || "-" },
  { title: "FROM", width: 21, cell: ({ client }) => client },
  { title: "ACTION", width: 15, cell: ({ method }) => method },
  { title: "SUBJECT", width: 24, cell: subjectsText },
  { title: "RESULT", width: 18, cell: resultText },
  { title: "DETAILS", width: 0, cell: ({ summary }) => summary },
];

/** `berth audit`: prints the audit log, and with `--follow` continues across leader changes. */
export async function showAudit(cli: Cli, options: AuditOptions): Promise<void> {
  const { follow = false } = options;
  const sinceMs =
    options.since === undefined ? 0 : parseTimeMs(options.since, { option: "--since", nowMs: cli.now() });
  const limit = parseLimit("--limit", options.limit);
  let afterSequence = 0;
  const rows: AuditRecord[] = [];
  if (follow && options.output !== "json") {
    cli.stdout.write(formatLine(AUDIT_COLUMNS.map(({ title }) => title)));
  }
  await withClient(cli, options, async (client) => {
    const open = () => client.streamAudit({ follow, sinceMs, limit, afterSequence }, { signal: cli.signal });
    for await (const { message } of follow ? resumeStream(cli, open) : open()) {
      if (message?.$case === "warning") printWarning(cli, message.value);
      if (message?.$case !== "record") continue;
      const record = message.value;
      afterSequence = record.sequence;
      if (options.output === "json") {
        cli.stdout.write(recordJson(record));
      } else if (follow) {
        cli.stdout.write(formatLine(AUDIT_COLUMNS.map(({ cell }) => oneLine(cell(record)))));
      } else {
        rows.push(record);
      }
    }
  });
  if (!follow && options.output !== "json") cli.stdout.write(formatTable(AUDIT_COLUMNS, rows));
}

function formatLine(cells: readonly string[]): string {
  const padded = cells.map((cell, index) => cell.padEnd(AUDIT_COLUMNS[index]?.width ?? 0));
  return `${padded.join("   ").trimEnd()}\n`;
}

/** Returns the subjects by kind: `service shop_web, shop_api`. */
function subjectsText({ subjects, omittedSubjects }: AuditRecord): string {
  const namesByKind = new Map<AuditSubject["kind"], string[]>();
  for (const { kind, name } of subjects) namesByKind.set(kind, [...(namesByKind.get(kind) ?? []), name]);
  const texts = [...namesByKind].map(([kind, names]) => `${kind} ${names.join(", ")}`);
  if (omittedSubjects > 0) texts.push(`${omittedSubjects} more`);
  return texts.join(", ") || "-";
}

function resultText({ errorCode, count }: AuditRecord): string {
  return `${errorCode || "ok"}${count > 1 ? ` (${count} times)` : ""}`;
}

function recordJson(record: AuditRecord): string {
  const { sequence, timeMs, method, caller, client, forwardedBy, subjects, omittedSubjects } = record;
  const { summary, errorCode, count, server, epoch } = record;
  const object = {
    sequence,
    time: new Date(timeMs).toISOString(),
    caller,
    client,
    forwardedBy,
    method,
    subjects,
    omittedSubjects,
    summary,
    result: errorCode || "ok",
    count,
    server,
    epoch,
  };
  return `${JSON.stringify(object)}\n`;
}
