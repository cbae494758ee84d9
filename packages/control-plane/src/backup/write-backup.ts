import { pipeline, Readable } from "node:stream";
import { createGzip } from "node:zlib";
import { type BackupSummary, BERTH_VERSION, BerthError } from "@berth/proto";
import { readAuthority } from "@berth/proto/identity";
import { issuingAuthority } from "../identity/sealed-authority.js";
import type { ClusterSecrets } from "../identity/server-directory.js";
import { ROOT } from "../store/keys.js";
import type { RangePage, Store } from "../store/store.js";
import { type BackupProtection, encrypt } from "./age.js";
import { type BackupHeader, formatPart, SummaryBuilder } from "./backup-format.js";

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
  const summary: { value?: BackupSummary } = {};
  const text = formatBackup(options, summary, signal);
  // An error of the source destroys the compressor, which passes it to the reader.
  const compressed = pipeline(Readable.from(text), createGzip(), () => {});
  try {
    yield* await encrypt(compressed, options.protection);
  } finally {
    compressed.destroy();
  }
  if (summary.value === undefined) throw new Error("the backup ended without a summary");
  return summary.value;
}

async function* formatBackup(
  { store, secrets, generation, servers, nowMs }: WriteBackupOptions,
  result: { value?: BackupSummary },
  signal: AbortSignal,
): AsyncGenerator<string> {
  let builder: SummaryBuilder | undefined;
  let records = 0;
  for await (const page of store.range({ prefix: ROOT }, signal)) {
    const { entries, revision } = requirePage(page);
    if (builder === undefined) {
      const { cluster } = readAuthority(issuingAuthority(secrets.etcdAuthorities).certificate);
      const header: BackupHeader = {
        cluster,
        createdAtMs: nowMs,
        revision: Number(revision),
        generation,
        berthVersion: BERTH_VERSION,
        servers,
      };
      builder = new SummaryBuilder(header);
      yield formatPart({ kind: "header", header });
      yield formatPart({ kind: "secrets", secrets });
    }
    for (const { key, value, leaseId } of entries) {
      if (leaseId !== undefined) continue;
      records += 1;
      builder.add({ key, value });
      yield formatPart({ kind: "record", record: { key, value } });
    }
  }
  yield formatPart({ kind: "end", records });
  if (builder !== undefined) result.value = builder.build();
}

function requirePage(page: RangePage): Extract<RangePage, { readonly kind: "page" }> {
  if (page.kind === "page") return page;
  throw new BerthError({
    code: "BERTH_ETCD_UNAVAILABLE",
    message: "cannot create a backup: etcd compacted the revision before all records were read; try again",
  });
}
