import {
  FileKind,
  type FileOutcome,
  FileOutcome_Kind,
  type FileVersion,
  fileKindName,
  type GetFileResponse,
} from "@berth/proto";
import { type FilterTable, hasLabel } from "../options/filters.js";
import { formatTimeSince, pluralize } from "./human.js";
import { formatLabels } from "./nodes.js";
import type { Listing } from "./print.js";
import { formatFields } from "./table.js";

// The output of commands about secrets and configs. A file is a secret or a config.

const OUTCOME_NAMES = new Map<FileOutcome_Kind, string>([
  [FileOutcome_Kind.CREATED, "created"],
  [FileOutcome_Kind.UPDATED, "updated"],
  [FileOutcome_Kind.UNCHANGED, "unchanged"],
  [FileOutcome_Kind.REMOVED, "removed"],
]);

/** Describes the output of `berth secret ls` and `berth config ls`, as a table and as JSON. The name is the ID. */
export function fileListing(rows: readonly FileVersion[], nowMs: number): Listing<FileVersion> {
  return {
    rows,
    id: ({ name }) => name,
    json: fileJson,
    columns: [
      { title: "NAME", cell: ({ name }) => name },
      { title: "VERSION", cell: ({ version }) => String(version) },
      { title: "STACK", cell: ({ stack }) => stack },
      { title: "LABELS", cell: ({ labels }) => formatLabels(labels).join(", ") },
      { title: "UPDATED", cell: ({ createdAtMs }) => formatTimeSince(createdAtMs, nowMs) },
    ],
  };
}

export const FILE_FILTERS: FilterTable<FileVersion> = {
  name: { matches: ({ name }, value) => name.includes(value) },
  label: { matches: ({ labels }, value) => hasLabel(labels, value) },
  stack: { matches: ({ stack }, value) => stack === value },
};

/** Returns the JSON form of a secret or config in lists. The size of a secret is not printed. */
function fileJson(file: FileVersion): object {
  const { kind, name, stack, version, labels, createdAtMs, removing, isTemplate, sizeBytes } = file;
  const config = kind === FileKind.CONFIG ? { template: isTemplate, sizeBytes } : {};
  return { name, stack, version, labels, ...config, updatedAtMs: createdAtMs, removing };
}

/**
 * Returns all details of a secret or config as JSON. The content of a config is encoded as base64, as in Docker. The
 * server omits the content for users who may not change the config's stack. An empty content therefore means that it is
 * hidden, because a config is never empty.
 */
export function fileDetailsJson({ versions, uses, content }: GetFileResponse): object {
  const [newest] = versions;
  if (newest === undefined) return {};
  return {
    ...fileJson(newest),
    versions: versions.map(({ version, createdAtMs }) => ({ version, createdAtMs })),
    services: uses.map(({ service, version, tasksWithOtherVersions }) => ({
      name: service,
      version,
      tasksWithOtherVersions,
    })),
    ...(showsContent(newest, content) ? { data: Buffer.from(content).toString("base64") } : {}),
  };
}

/** Formats the details of a secret or config as text, with the content of a config at the end. */
export function fileDetailsText({ versions, uses, content }: GetFileResponse, nowMs: number): string {
  const [newest] = versions;
  if (newest === undefined) return "";
  const { name, stack, version, labels, createdAtMs, removing, isTemplate } = newest;
  const fields = formatFields([
    ["Name", name],
    ["Stack", stack],
    ["Status", removing ? "Removed once it is no longer in use" : ""],
    ["Version", `${version}, ${formatTimeSince(createdAtMs, nowMs)}`],
    ["Earlier", versions.slice(1).map((old) => `${old.version}, ${formatTimeSince(old.createdAtMs, nowMs)}`)],
    ["Labels", formatLabels(labels)],
    ["Template", isTemplate ? "golang" : ""],
    ["Services", uses.map(formatUse)],
  ]);
  if (!showsContent(newest, content)) return fields;
  const text = Buffer.from(content).toString("utf8");
  return `${fields}Data:\n${text}${text.endsWith("\n") ? "" : "\n"}`;
}

function showsContent({ kind }: FileVersion, content: Uint8Array): boolean {
  return kind === FileKind.CONFIG && content.length > 0;
}

function formatUse({ service, version, tasksWithOtherVersions }: GetFileResponse["uses"][number]): string {
  const outdated =
    tasksWithOtherVersions > 0 ? `, ${pluralize(tasksWithOtherVersions, "task")} with other versions` : "";
  return `${service}  version ${version}${outdated}`;
}

/** Returns the outcomes as two JSON lists. */
export function fileOutcomesJson(outcomes: readonly FileOutcome[]): object {
  const list = (fileKind: FileKind): readonly object[] =>
    outcomes.filter((outcome) => outcome.fileKind === fileKind).map(fileOutcomeJson);
  return { secrets: list(FileKind.SECRET), configs: list(FileKind.CONFIG) };
}

export function fileOutcomeJson({ name, kind, version }: FileOutcome): object {
  return { name, outcome: OUTCOME_NAMES.get(kind) ?? "unknown", version };
}

/** Returns a line such as `Creating secret shop_key` for each secret and config that changed. */
export function fileOutcomeLines(outcomes: readonly FileOutcome[]): string {
  return outcomes.map(fileOutcomeLine).join("");
}

function fileOutcomeLine({ fileKind, name, kind, version }: FileOutcome): string {
  const subject = `${fileKindName(fileKind)} ${name}`;
  switch (kind) {
    case FileOutcome_Kind.CREATED:
      return `Creating ${subject}\n`;
    case FileOutcome_Kind.UPDATED:
      return `Updating ${subject} (version ${version})\n`;
    case FileOutcome_Kind.REMOVED:
      return `Removing ${subject}\n`;
    default:
      return "";
  }
}
