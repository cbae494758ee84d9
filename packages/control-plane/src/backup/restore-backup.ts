import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import {
  type Authority,
  type BackupSummary,
  BerthError,
  LEADER_ASSUMES_FENCED_AFTER_MS,
  Restore,
  Restore_State,
} from "@berth/proto";
import { createRequest } from "@berth/proto/identity";
import { pino } from "pino";
import { nextGeneration } from "../core/restore/generation.js";
import { SCHEMA } from "../core/schema/migrations.js";
import { clusterIssuer } from "../identity/certificate-issuer.js";
import { openEtcdCertificate } from "../identity/etcd-certificate.js";
import { issuingAuthority, requireDecryptable } from "../identity/sealed-authority.js";
import { type ClusterSecrets, ServerDirectory } from "../identity/server-directory.js";
import { systemRuntime } from "../runtime/runtime.js";
import { recordKey } from "../state/change.js";
import { RECORD_KINDS, RESTORE_NAME } from "../state/record-kinds.js";
import { MAX_TXN_BYTES, MAX_TXN_OPS, opBytes } from "../store/check-txn.js";
import { ETCD_DATA, hasEtcdData, LOOPBACK } from "../store/embedded/cluster.js";
import { DataDir } from "../store/embedded/data-dir.js";
import { startEmbeddedEtcd } from "../store/embedded/embedded-etcd.js";
import { requireEtcd } from "../store/embedded/find-program.js";
import { EtcdStore } from "../store/etcd/etcd-store.js";
import type { EtcdTls } from "../store/etcd-tls.js";
import { ETCD_AUTHORITIES_KEY, ROOT, SCHEMA_KEY } from "../store/keys.js";
import { readAll } from "../store/read.js";
import { requireSupportedSchema } from "../store/schema.js";
import type { Op, Store } from "../store/store.js";
import { invalidBackupError } from "./age.js";
import { type BackupHeader, type BackupRecord, parseAuthority, SummaryBuilder } from "./backup-format.js";
import { findLivingServer } from "./living-servers.js";
import { type BackupFile, readBackup } from "./read-backup.js";

export interface RestoreOptions extends BackupFile {
  /** The data directory of the new server. */
  readonly dataDir: string;
  /** An external etcd without records. Undefined for an embedded one. */
  readonly etcd?: { readonly endpoints: readonly [string, ...string[]]; readonly tls?: EtcdTls | undefined };
  /** Whether to restore even if a server of the backed-up cluster responds. */
  readonly force: boolean;
  /** Called with each step that may take more than a second. */
  readonly onProgress: (step: string) => void;
}

/**
 * Restores a cluster from a backup into an empty data directory, and an embedded or external etcd. `berth server` then
 * starts as usual.
 *
 * The backup is read to its end before anything is written. The server's certificate, which makes the data directory
 * usable, is written last, so an interrupted restore can be repeated.
 *
 * @throws BerthError BERTH_BACKUP_INVALID, BERTH_UNSUPPORTED or BERTH_SCHEMA_UNSUPPORTED for a newer one,
 *   BERTH_INPUT_INVALID for a data directory or etcd that is in use, BERTH_CONFLICT while a server of the cluster
 *   answers, BERTH_ETCD_MISSING, BERTH_ETCD_FAILED
 */
export async function restoreBackup(options: RestoreOptions, signal: AbortSignal): Promise<BackupSummary> {
  const { dataDir, etcd, force, onProgress } = options;
  if (etcd === undefined) requireEtcd("etcd");
  onProgress("reading the backup");
  const content = await checkBackup(options);
  const claim = await DataDir.claim(dataDir);
  let directory: ServerDirectory;
  try {
    directory = await prepareDirectory(claim);
    if (!force) await requireNoLivingServer(content, signal);
    await directory.beginRestore();
    await directory.storeSecrets(content.secrets);
  } finally {
    claim.release();
  }
  const checkedAtMs = performance.now();
  const serverId = systemRuntime.newId();
  onProgress("writing the records");
  const write = (store: Store): Promise<void> => writeRecords(store, options, content.header, signal);
  if (etcd !== undefined) {
    await withStore(etcd, write);
  } else {
    await withEmbeddedEtcd({ dataDir, directory, serverId, content }, write, signal);
  }
  if (content.hasAtMostOne) {
    onProgress("waiting until all hosts have stopped their at-most-one tasks");
    await delay(checkedAtMs + LEADER_ASSUMES_FENCED_AFTER_MS - performance.now(), undefined, { signal });
  }
  await storeCertificate(directory, serverId, content);
  await directory.endRestore();
  return content.summary;
}

/** The result of the first pass over a backup. The second pass reads only the records. */
interface BackupContent {
  readonly header: BackupHeader;
  readonly secrets: ClusterSecrets;
  readonly authorities: readonly Authority[];
  readonly summary: BackupSummary;
  /** Whether a spec has at-most-one tasks. */
  readonly hasAtMostOne: boolean;
}

async function checkBackup(backup: BackupFile): Promise<BackupContent> {
  let header: BackupHeader | undefined;
  let secrets: ClusterSecrets | undefined;
  const summary = new SummaryBuilder();
  let hasAtMostOne = false;
  let schema: string | undefined;
  const authorities: Authority[] = [];
  const revisions = `${ROOT}${RECORD_KINDS.revision.collection}/`;
  for await (const part of readBackup(backup)) {
    summary.add(part);
    if (part.kind === "header") {
      ({ header } = part);
    } else if (part.kind === "secrets") {
      ({ secrets } = part);
    } else if (part.kind === "record") {
      if (part.record.key === SCHEMA_KEY) schema = part.record.value;
      const authority = readAuthorityRecord(part.record);
      if (authority !== undefined) authorities.push(authority);
      hasAtMostOne ||=
        part.record.key.startsWith(revisions) && part.record.value.includes('"atMostOne":true');
    }
  }
  if (header === undefined || secrets === undefined) {
    throw invalidBackupError(backup.path, "it is empty");
  }
  if (schema === undefined) throw invalidBackupError(backup.path, "its records have no schema version");
  requireSupportedSchema(schema, SCHEMA.versions);
  try {
    issuingAuthority(authorities);
    for (const authority of [...authorities, ...secrets.etcdAuthorities]) {
      requireDecryptable(secrets.clusterKey, authority);
    }
  } catch (cause) {
    throw invalidBackupError(backup.path, "its cluster key does not decrypt its CA", cause);
  }
  return { header, secrets, authorities, summary: summary.build(), hasAtMostOne };
}

function readAuthorityRecord({ key, value }: BackupRecord): Authority | undefined {
  if (!key.startsWith(`${ROOT}${RECORD_KINDS.authority.collection}/`)) return undefined;
  return parseAuthority(value);
}

/**
 * Returns the identity directory of an empty data directory. Removes the remains of an interrupted restore.
 *
 * @throws BerthError BERTH_INPUT_INVALID if the directory contains a cluster
 */
async function prepareDirectory(claim: DataDir): Promise<ServerDirectory> {
  const { path } = claim;
  const directory = await ServerDirectory.open(path);
  const state = await directory.state();
  if (state.kind === "restoring") {
    await rm(join(path, ETCD_DATA), { recursive: true, force: true });
    await rm(directory.path, { recursive: true, force: true });
    claim.forgetData();
    return ServerDirectory.open(path);
  }
  if (state.kind !== "none" || state.hasBegunCluster || hasEtcdData(path)) {
    throw new BerthError({
      code: "BERTH_INPUT_INVALID",
      message: `cannot restore into ${path}: it contains the data of a cluster; use an empty --data-dir, or move this directory away`,
      details: { dataDir: path },
    });
  }
  return directory;
}

/** @throws BerthError BERTH_CONFLICT if a server of the cluster responds */
async function requireNoLivingServer(
  { header, authorities }: BackupContent,
  signal: AbortSignal,
): Promise<void> {
  const fingerprints = authorities.map(({ fingerprint }) => fingerprint);
  const address = await findLivingServer(header.servers, fingerprints, signal);
  if (address === undefined) return;
  throw new BerthError({
    code: "BERTH_CONFLICT",
    message: `cannot restore: server ${address} of the cluster ${header.cluster} is running; stop all servers of the cluster first, or use --force to ignore it`,
    details: { address },
  });
}

interface EmbeddedOptions {
  readonly dataDir: string;
  readonly directory: ServerDirectory;
  readonly serverId: string;
  readonly content: BackupContent;
}

/** Runs an embedded etcd on loopback. `berth server` later gives its member the address of the server. */
async function withEmbeddedEtcd(
  { dataDir, directory, serverId, content }: EmbeddedOptions,
  run: (store: Store) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const certificate = await openEtcdCertificate(
    {
      identity: { ...content.secrets, serverId, etcdPath: directory.etcdPath },
      hosts: [LOOPBACK],
      wallClockMs: Date.now,
    },
    signal,
  );
  const logger = pino({ level: "silent" });
  // A new token, because members of the original cluster may have the same addresses and must not talk to this member.
  const clusterToken = `berth-${systemRuntime.newId()}`;
  const etcd = await startEmbeddedEtcd({ dataDir, tls: certificate.paths, logger, clusterToken }, signal);
  try {
    await withStore({ endpoints: [etcd.endpoint], tls: certificate.files }, run);
  } finally {
    await etcd.stop();
  }
}

async function withStore(
  options: { readonly endpoints: readonly [string, ...string[]]; readonly tls?: EtcdTls | undefined },
  run: (store: Store) => Promise<void>,
): Promise<void> {
  const store = new EtcdStore(options);
  try {
    await run(store);
  } finally {
    store.close();
  }
}

/**
 * Writes all records of the backup, and the record of the restore.
 *
 * @throws BerthError BERTH_INPUT_INVALID unless etcd is empty
 */
async function writeRecords(
  store: Store,
  backup: BackupFile,
  header: BackupHeader,
  signal: AbortSignal,
): Promise<void> {
  const { entries } = await readAll(store, { prefix: ROOT }, signal);
  if (entries.length > 0) {
    throw new BerthError({
      code: "BERTH_INPUT_INVALID",
      message: `cannot restore: etcd has ${entries.length} keys of a cluster; use an empty etcd, or remove the keys with "etcdctl del --prefix ${ROOT}"`,
    });
  }
  const restoreKey = recordKey("restore", { name: RESTORE_NAME });
  let ops: Op[] = [{ kind: "put", key: restoreKey, value: formatRestore(header) }];
  let bytes = 0;
  const flush = async (): Promise<void> => {
    await put(store, ops, signal);
    ops = [];
    bytes = 0;
  };
  // The new etcd only has the authority from the backup, so a rotation in progress does not continue.
  const left = new Set([restoreKey, ETCD_AUTHORITIES_KEY]);
  for await (const part of readBackup(backup)) {
    if (part.kind !== "record" || left.has(part.record.key)) continue;
    const op: Op = { kind: "put", ...part.record };
    const size = opBytes(op);
    if (ops.length >= MAX_TXN_OPS || bytes + size > MAX_TXN_BYTES / 2) await flush();
    ops.push(op);
    bytes += size;
  }
  await flush();
}

function formatRestore({ generation, revision, createdAtMs }: BackupHeader): string {
  const restoredAtMs = Date.now();
  return JSON.stringify(
    Restore.toJSON({
      generation: nextGeneration(restoredAtMs, generation + revision),
      restoredAtMs,
      backupCreatedAtMs: createdAtMs,
      state: Restore_State.PENDING,
    }),
  );
}

async function put(store: Store, ops: readonly Op[], signal: AbortSignal): Promise<void> {
  const outcome = await store.txn({ ops }, signal);
  if (outcome.kind === "unknown") throw outcome.cause;
}

/** Issues the certificate with which the new server starts. */
async function storeCertificate(
  { identity }: ServerDirectory,
  serverId: string,
  { secrets, authorities }: BackupContent,
): Promise<void> {
  const issuer = clusterIssuer({
    authorities: () => authorities,
    clusterKey: secrets.clusterKey,
    wallClockMs: Date.now,
  });
  const request = await createRequest(await identity.prepareKey());
  await identity.store(await issuer.issue({ kind: "server", id: serverId }, request));
}
