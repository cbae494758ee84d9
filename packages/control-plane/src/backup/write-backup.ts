import { pipeline, Readable } from "node:stream";
import { createGzip } from "node:zlib";
import { type BackupSummary, BERTH_VERSION, BerthError } from "@berth/proto";
import { readAuthority } from "@berth/proto/identity";
import { issuingAuthority } from "../identity/sealed-authority.js";
import type { ClusterSecrets } from "../identity/server-directory.js";
import { ROOT } from "../store/keys.js";
import type { RangePage, Store } from "../store/store.js";
import { type BackupProtection, encrypt } from "./age.js";
import { type BackupHeader, type BackupPart, formatPart, SummaryBuilder } from "./backup-format.js";

export interface WriteBackupOptions {
  readonly store: Pick<Store, "range">;
  readonly secrets: ClusterSecrets;
  readonly protection: BackupProtection;
  /** The generation of the cluster; 0 before the first restore. */
  readonly generation: number;
  readonly servers: readonly string[];
  readonly nowMs: number;
}

/**
 * Reads all records at one revision, and yields the bytes of an encrypted backup. Returns its summary.
 *
 * Leased keys are left out, because they belong to running processes.
 *
 * @throws BerthError BERTH_ETCD_UNAVAILABLE, BERTH_INPUT_INVALID for an unusable passphrase or key
 */
export async function* writeBackup(
  options: WriteBackupOptions,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, BackupSummary> {
  const summary = new SummaryBuilder();
  const text = formatBackup(options, summary, signal);
  // An error of the source destroys the compressor, which passes it to the reader.
  const compressed = pipeline(Readable.from(text), createGzip(), () => {});
  try {
    yield* await encrypt(compressed, options.protection);
  } finally {
    compressed.destroy();
  }
  return summary.build();
}

/** Yields the text of a backup, and adds its parts to the summary. */
async function* formatBackup(
  options: WriteBackupOptions,
  summary: SummaryBuilder,
  signal: AbortSignal,
): AsyncGenerator<string> {
  for await (const part of readParts(options, signal)) {
    summary.add(part);
    yield formatPart(part);
  }
}

async function* readParts(options: WriteBackupOptions, signal: AbortSignal): AsyncGenerator<BackupPart> {
  let isFirstPage = true;
  let records = 0;
  for await (const page of options.store.range({ prefix: ROOT }, signal)) {
    const { entries, revision } = requirePage(page);
    if (isFirstPage) {
      isFirstPage = false;
      yield { kind: "header", header: createHeader(options, revision) };
      yield { kind: "secrets", secrets: options.secrets };
    }
    for (const { key, value, leaseId } of entries) {
      if (leaseId !== undefined) continue;
      records += 1;
      yield { kind: "record", record: { key, value } };
    }
  }
  yield { kind: "end", records };
}

function createHeader(
  { secrets, generation, servers, nowMs }: WriteBackupOptions,
  revision: bigint,
): BackupHeader {
  const { cluster } = readAuthority(issuingAuthority(secrets.etcdAuthorities).certificate);
  return {
    cluster,
    createdAtMs: nowMs,
    revision: Number(revision),
    generation,
    berthVersion: BERTH_VERSION,
    servers,
  };
}

function requirePage(page: RangePage): Extract<RangePage, { readonly kind: "page" }> {
  if (page.kind === "page") return page;
  throw new BerthError({
    code: "BERTH_ETCD_UNAVAILABLE",
    message: "cannot create a backup: etcd compacted the revision before all records were read; try again",
  });
}
