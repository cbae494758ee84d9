import {
  Authority,
  Authority_State,
  assertNever,
  BackupSummary,
  BERTH_VERSION,
  BerthError,
  hasOnlyFiniteNumbers,
} from "@berth/proto";
import { formatClusterKey, parseClusterKey } from "../identity/cluster-key.js";
import { issuingAuthority } from "../identity/sealed-authority.js";
import type { ClusterSecrets } from "../identity/server-directory.js";
import { recordKey } from "../state/change.js";
import { parseKey, ROOT } from "../store/keys.js";
import { invalidBackupError } from "./age.js";

/**
 * The decrypted and decompressed content of a backup is text, with one JSON object per line:
 *
 *     {"format":"berth-backup","version":1,"cluster":…,"revision":…,…}
 *     {"kind":"secrets","clusterKey":…,"etcdAuthority":…}
 *     {"kind":"record","key":"/berth/v1/nodes/…","value":"…"}     for each key in etcd
 *     {"kind":"end","records":N}
 *
 * The version is incremented with each change that an older release could misread.
 */
const FORMAT_NAME = "berth-backup";
export const FORMAT_VERSION = 1;

/** Maximum length of a line. Far above the largest value in etcd. */
export const MAX_LINE_BYTES = 8 * 1_024 * 1_024;

/** The first line. */
export interface BackupHeader {
  /** Name of the cluster in its certificates. */
  readonly cluster: string;
  readonly createdAtMs: number;
  /** The revision of etcd at which all records were read. */
  readonly revision: number;
  /** The generation of the cluster, see `core/restore/generation.ts`. */
  readonly generation: number;
  /** Release of the server that created the backup. */
  readonly berthVersion: string;
  /** "host:port" of the servers. */
  readonly servers: readonly string[];
}

/** A key of etcd with its value. */
export interface BackupRecord {
  readonly key: string;
  readonly value: string;
}

export type BackupPart =
  | { readonly kind: "header"; readonly header: BackupHeader }
  | { readonly kind: "secrets"; readonly secrets: ClusterSecrets }
  | { readonly kind: "record"; readonly record: BackupRecord }
  | { readonly kind: "end"; readonly records: number };

export function formatPart(part: BackupPart): string {
  return `${JSON.stringify(toJson(part))}\n`;
}

function toJson(part: BackupPart): object {
  switch (part.kind) {
    case "header":
      return { format: FORMAT_NAME, version: FORMAT_VERSION, ...part.header };
    case "secrets": {
      const { clusterKey, etcdAuthorities } = part.secrets;
      return {
        kind: "secrets",
        clusterKey: formatClusterKey(clusterKey).trim(),
        etcdAuthority: Authority.toJSON(issuingAuthority(etcdAuthorities)),
      };
    }
    case "record":
      return { kind: "record", ...part.record };
    case "end":
      return part;
    default:
      return assertNever(part);
  }
}

/** What can follow a part of a backup. */
type ExpectedPart = "header" | "secrets" | "records" | "nothing";

const NEXT_PART: Readonly<Record<BackupPart["kind"], ExpectedPart>> = {
  header: "secrets",
  secrets: "records",
  record: "records",
  end: "nothing",
};

/**
 * Parses the lines of a backup in their order. `name` identifies the file in error messages.
 *
 * @throws BerthError BERTH_BACKUP_INVALID, or BERTH_UNSUPPORTED for a newer format
 */
export async function* parseParts(name: string, lines: AsyncIterable<string>): AsyncGenerator<BackupPart> {
  let records = 0;
  let next: ExpectedPart = "header";
  for await (const line of lines) {
    const part = parseLine(name, line, next === "header");
    if (next === "nothing") throw invalidBackupError(name, "it continues after its end");
    if (next === "secrets" && part.kind !== "secrets") {
      throw invalidBackupError(name, "it contains no cluster key");
    }
    if (next === "records" && part.kind === "secrets") {
      throw invalidBackupError(name, "it contains two cluster keys");
    }
    if (part.kind === "record") records += 1;
    if (part.kind === "end" && part.records !== records) {
      throw invalidBackupError(name, `it contains ${records} records instead of ${part.records}`);
    }
    next = NEXT_PART[part.kind];
    yield part;
  }
  if (next !== "nothing") throw invalidBackupError(name, "its end is missing");
}

function parseLine(name: string, line: string, isFirst: boolean): BackupPart {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch (cause) {
    throw invalidBackupError(name, "a line is not JSON", cause);
  }
  if (typeof json !== "object" || json === null) throw invalidBackupError(name, "a line is not an object");
  const fields = json as Readonly<Record<string, unknown>>;
  if (isFirst) return { kind: "header", header: parseHeader(name, fields) };
  switch (fields.kind) {
    case "secrets":
      return { kind: "secrets", secrets: parseSecrets(name, fields) };
    case "record":
      return { kind: "record", record: parseRecord(name, fields) };
    case "end":
      if (typeof fields.records === "number") return { kind: "end", records: fields.records };
  }
  throw invalidBackupError(name, "a line has an unknown kind");
}

function parseHeader(name: string, fields: Readonly<Record<string, unknown>>): BackupHeader {
  const { format, version, cluster, createdAtMs, revision, generation, berthVersion, servers } = fields;
  if (format !== FORMAT_NAME || typeof version !== "number") {
    throw invalidBackupError(name, "it is not a berth backup");
  }
  if (version > FORMAT_VERSION) {
    throw new BerthError({
      code: "BERTH_UNSUPPORTED",
      message: `cannot read the backup ${name}: it has format version ${version}, and this release of berth (${BERTH_VERSION}) reads version ${FORMAT_VERSION}; use release ${String(berthVersion).slice(0, 40)} or newer`,
    });
  }
  if (
    typeof cluster !== "string" ||
    typeof berthVersion !== "string" ||
    ![createdAtMs, revision, generation].every(isCount) ||
    !Array.isArray(servers) ||
    !servers.every((server) => typeof server === "string")
  ) {
    throw invalidBackupError(name, "its header is incomplete");
  }
  return {
    cluster,
    berthVersion,
    servers,
    createdAtMs: Number(createdAtMs),
    revision: Number(revision),
    generation: Number(generation),
  };
}

function parseSecrets(name: string, fields: Readonly<Record<string, unknown>>): ClusterSecrets {
  try {
    const clusterKey = parseClusterKey(String(fields.clusterKey));
    const etcdAuthority = Authority.fromJSON(fields.etcdAuthority);
    if (!hasOnlyFiniteNumbers(etcdAuthority)) throw new Error("a number is invalid");
    return { clusterKey, etcdAuthorities: [issuingAuthority([etcdAuthority])] };
  } catch (cause) {
    throw invalidBackupError(name, "its cluster key or authority is damaged", cause);
  }
}

function parseRecord(name: string, { key, value }: Readonly<Record<string, unknown>>): BackupRecord {
  if (typeof key === "string" && typeof value === "string" && key.startsWith(ROOT)) return { key, value };
  throw invalidBackupError(name, "a record is damaged");
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/**
 * Splits text into lines.
 *
 * @throws BerthError BERTH_BACKUP_INVALID for a line that is too long, or without an end
 */
export async function* splitLines(name: string, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let partialLine = Buffer.alloc(0);
  for await (const chunk of chunks) {
    partialLine = Buffer.concat([partialLine, chunk]);
    let start = 0;
    for (let end = partialLine.indexOf(10); end >= 0; end = partialLine.indexOf(10, start)) {
      yield partialLine.toString("utf8", start, end);
      start = end + 1;
    }
    partialLine = partialLine.subarray(start);
    if (partialLine.length > MAX_LINE_BYTES) {
      throw invalidBackupError(name, `a line has more than ${MAX_LINE_BYTES} bytes`);
    }
  }
  if (partialLine.length > 0) throw invalidBackupError(name, "its end is missing");
}

/** Collects the summary of a backup while it is written or read. */
export class SummaryBuilder {
  readonly #records: Record<string, number> = {};
  #header: BackupHeader | undefined;
  #authority = "";

  /** Adds the next part of the backup. */
  add(part: BackupPart): void {
    if (part.kind === "header") this.#header = part.header;
    if (part.kind === "record") this.#addRecord(part.record);
  }

  /** @throws Error if no header was added */
  build(): BackupSummary {
    if (this.#header === undefined) throw new Error("the backup has no header");
    const { servers, ...header } = this.#header;
    return BackupSummary.fromPartial({
      ...header,
      servers: [...servers],
      records: this.#records,
      authority: this.#authority,
    });
  }

  #addRecord({ key, value }: BackupRecord): void {
    const collection = parseKey(key)?.collection;
    if (collection === undefined) return;
    this.#records[collection] = (this.#records[collection] ?? 0) + 1;
    if (collection === "authorities") this.#addAuthority(key, value);
  }

  #addAuthority(key: string, value: string): void {
    const authority = parseAuthority(value);
    if (authority?.state !== Authority_State.ISSUING) return;
    if (key === recordKey("authority", authority)) this.#authority = authority.fingerprint;
  }
}

/** Parses the record of an authority. Returns undefined for an invalid record. */
export function parseAuthority(value: string): Authority | undefined {
  try {
    const authority = Authority.fromJSON(JSON.parse(value));
    return hasOnlyFiniteNumbers(authority) ? authority : undefined;
  } catch {
    return undefined;
  }
}
