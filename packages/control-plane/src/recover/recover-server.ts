import { X509Certificate } from "node:crypto";
import { cpSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AuditRecord_Kind, BerthError, Server_State as State } from "@berth/proto";
import { describeCaller, grpcTransport, LOCAL_USER } from "@berth/proto/rpc";
import type { Logger } from "pino";
import { createAuditRecord } from "../core/audit/audit-record.js";
import { decideRecovery, type QueriedMember } from "../core/membership/recovery.js";
import { isRemoved } from "../core/membership/server-records.js";
import { openEtcdCertificate } from "../identity/etcd-certificate.js";
import { ServerDirectory } from "../identity/server-directory.js";
import { openServerIdentity, type ServerIdentity } from "../identity/server-identity.js";
import { systemRuntime } from "../runtime/runtime.js";
import { changeKey, decodeEntry, encodeValue, type Put } from "../state/change.js";
import { RECORD_KINDS } from "../state/record-kinds.js";
import {
  certificateAddresses,
  clientUrl,
  ETCD_DATA,
  firstBootstrap,
  hasEtcdData,
  MEMBER_PORTS,
  memberName,
  peerUrl,
} from "../store/embedded/cluster.js";
import { DataDir } from "../store/embedded/data-dir.js";
import { EtcdHttpClient } from "../store/embedded/etcd-http.js";
import { EtcdProcess } from "../store/embedded/etcd-process.js";
import { commitWholeLog, type LogEnd, readLogEnd } from "../store/embedded/etcd-wal.js";
import { requireEtcd } from "../store/embedded/find-program.js";
import { requireFree } from "../store/embedded/free-ports.js";
import { EtcdStore } from "../store/etcd/etcd-store.js";
import { type EtcdTlsFiles, readEtcdTls } from "../store/etcd-tls.js";
import { LEADER_KEY, ROOT, SERVERS_PREFIX, serverKey } from "../store/keys.js";
import { readAll } from "../store/read.js";
import type { Op } from "../store/store.js";
import { queryMembers } from "./query-members.js";

const ETCD_PROGRAM = "etcd";

/** Timeout for the start of etcd, which may have to replay a long log from a slow disk. */
const START_TIMEOUT_MS = 60_000;

export interface RecoverOptions {
  readonly dataDir: string;
  /** Whether the operator confirms that unreachable members are lost. */
  readonly isForced: boolean;
  readonly nowMs: number;
  readonly logger: Logger;
  /** Asks the operator for confirmation. Returns false to change nothing. */
  readonly confirm: (plan: RecoveryPlan) => Promise<boolean>;
}

/** The effects of a recovery. */
export interface RecoveryPlan {
  /** Address of this server. */
  readonly address: string;
  readonly others: readonly QueriedMember[];
  readonly log: LogEnd;
  /** Path of the copy of etcd's data. */
  readonly copy: string;
}

/**
 * Makes this server the only server of its cluster after the loss of the quorum. Removes all other servers and their
 * etcd members. Returns undefined if the operator does not confirm the recovery.
 *
 * It can be repeated after a crash at any time.
 *
 * @throws BerthError BERTH_CONFLICT if a quorum may be running, BERTH_ETCD_DATA_LOCKED while the server runs,
 *   BERTH_INPUT_INVALID for a data directory without a cluster, BERTH_ETCD_FAILED
 */
export async function recoverServer(
  options: RecoverOptions,
  signal: AbortSignal,
): Promise<RecoveryPlan | undefined> {
  const { dataDir, isForced, nowMs, confirm } = options;
  requireEtcd(ETCD_PROGRAM);
  const { kind } = await (await ServerDirectory.open(dataDir)).state();
  if (kind !== "complete" || !hasEtcdData(dataDir)) {
    throw unrecoverableDataError(
      dataDir,
      kind === "removed" ? "this server was removed from its cluster" : "it has no data of an embedded etcd",
    );
  }
  // Excludes a running server, and stops the etcd that a killed one has left.
  const dir = await DataDir.claim(dataDir);
  try {
    if (dir.isJoining) {
      throw unrecoverableDataError(
        dataDir,
        "this server has not finished joining, so its data is incomplete",
      );
    }
    const identity = await openServerIdentity({ dataDir, nowMs, newId: systemRuntime.newId });
    const address = await ownAddress(identity, dir.members);
    const certificate = await openEtcdCertificate(
      { identity, hosts: certificateAddresses(address), wallClockMs: () => nowMs },
      signal,
    );
    const member: OwnMember = { address, dir, tlsFiles: certificate.paths, identity };
    const others = await queryMembers(
      {
        addresses: dir.members.filter((member) => member !== address),
        servers: identity.servers,
        tls: await readEtcdTls(certificate.paths, nowMs),
        transport: grpcTransport(identity.rpc),
      },
      signal,
    );
    const log = readLogEnd(dataDir);
    const decision = decideRecovery({ address, lastIndex: log.lastIndex, others, isForced });
    if (decision.kind === "refuse") throw recoveryRefusedError(decision.reason);
    const copy = join(dir.path, `before-recovery-${new Date(nowMs).toISOString().replaceAll(":", "")}`);
    const plan = { address, others, log, copy };
    if (!(await confirm(plan))) return undefined;
    cpSync(join(dir.path, ETCD_DATA), join(copy, ETCD_DATA), { recursive: true, errorOnExist: true });
    commitWholeLog(dataDir);
    await forceNewCluster(member, options, signal);
    dir.recordMembers([address]);
    return plan;
  } finally {
    dir.release();
  }
}

interface OwnMember {
  readonly address: string;
  readonly dir: DataDir;
  readonly tlsFiles: EtcdTlsFiles;
  readonly identity: ServerIdentity;
}

/** Runs etcd until it has removed the other members, and removes the other servers. */
async function forceNewCluster(
  { address, dir, tlsFiles, identity }: OwnMember,
  { nowMs, logger }: RecoverOptions,
  signal: AbortSignal,
): Promise<void> {
  const ports = await requireFree(address, MEMBER_PORTS);
  const tls = await readEtcdTls(tlsFiles, nowMs);
  const bootstrap = firstBootstrap(memberName(address), peerUrl(address, ports));
  const http = new EtcdHttpClient(tls);
  const etcd = new EtcdProcess({
    program: ETCD_PROGRAM,
    dataDir: dir.path,
    host: address,
    ports,
    bootstrap,
    tls: tlsFiles,
    logger,
    isClusterMember: true,
    forceNewCluster: true,
  });
  const store = new EtcdStore({ endpoints: [clientUrl(address, ports)], tls });
  try {
    if (etcd.pid !== undefined) dir.recordProcess(etcd.pid, { ports, members: dir.members });
    const limit = AbortSignal.any([signal, AbortSignal.timeout(START_TIMEOUT_MS)]);
    if (!(await etcd.waitUntilHealthy(http, limit))) throw etcdFailedError(etcd.lastLogLines);
    const members = await store.members.list(limit);
    if (members.length !== 1) throw etcdFailedError(`it still has ${members.length} members`);
    await removeOtherServers(store, identity.serverId, nowMs, limit);
    await recordRecovery(store, address, nowMs, limit);
  } finally {
    store.close();
    http.close();
    await etcd.stop();
  }
}

/** Marks the other servers as removed, and deletes their registrations and the key of the former leader. */
async function removeOtherServers(
  store: EtcdStore,
  ownId: string,
  nowMs: number,
  signal: AbortSignal,
): Promise<void> {
  const { entries } = await readAll(store, { prefix: `${ROOT}serverrecords/` }, signal);
  const removed = entries.flatMap((entry): Put[] => {
    const decoded = decodeEntry(entry);
    if (decoded.kind !== "put" || decoded.put.kind !== "put-server") return [];
    const { server } = decoded.put;
    if (server.id === ownId || isRemoved(server)) return [];
    return [{ kind: "put-server", server: { ...server, state: State.REMOVED, stateSinceMs: nowMs } }];
  });
  const registered = await readAll(store, { prefix: SERVERS_PREFIX }, signal);
  const ops: readonly Op[] = [
    { kind: "delete", key: LEADER_KEY },
    ...registered.entries
      .filter(({ key }) => key !== serverKey(ownId))
      .map(({ key }): Op => ({ kind: "delete", key })),
    ...removed.map(
      (change): Op => ({ kind: "put", key: changeKey(change), value: encodeValue(change) ?? "" }),
    ),
  ];
  const outcome = await store.txn({ ops }, signal);
  if (outcome.kind === "unknown") throw outcome.cause;
}

/** Adds the recovery to the audit log, as a change that root on this host has made. */
async function recordRecovery(
  store: EtcdStore,
  address: string,
  nowMs: number,
  signal: AbortSignal,
): Promise<void> {
  const { entries } = await readAll(store, { prefix: `${ROOT}${RECORD_KINDS.audit.collection}/` }, signal);
  const sequences = entries.flatMap((entry) => {
    const decoded = decodeEntry(entry);
    return decoded.kind === "put" && decoded.put.kind === "put-audit" ? [decoded.put.record.sequence] : [];
  });
  const record = createAuditRecord(
    {
      kind: AuditRecord_Kind.CHANGE,
      method: "RecoverServer",
      caller: describeCaller(LOCAL_USER),
      client: "",
      forwardedBy: "",
      subjects: [{ kind: "server", id: "", name: address }],
      errorCode: "",
      count: 1,
      summary: "made this server the only one of the cluster, and removed all others",
    },
    // Epoch 0, because no leader has recorded it, and leaders have epochs from 1.
    { sequence: Math.max(0, ...sequences) + 1, timeMs: nowMs, server: address, epoch: 0, call: 0 },
  );
  const change: Put = { kind: "put-audit", record };
  const outcome = await store.txn(
    { ops: [{ kind: "put", key: changeKey(change), value: encodeValue(change) ?? "" }] },
    signal,
  );
  if (outcome.kind === "unknown") throw outcome.cause;
}

/** Returns the recorded address for which this server has a certificate of etcd. */
async function ownAddress({ etcdPath }: ServerIdentity, members: readonly string[]): Promise<string> {
  const certificate = new X509Certificate(await readFile(join(etcdPath, "certificate.pem")));
  const address = members.find((member) => certificate.checkIP(member) !== undefined);
  if (address !== undefined) return address;
  throw recoveryRefusedError(
    members.length === 0
      ? "its etcd has no other members; start the server as usual"
      : `none of the recorded members ${members.join(", ")} has the address of this server`,
  );
}

function recoveryRefusedError(reason: string): BerthError {
  return new BerthError({ code: "BERTH_CONFLICT", message: `cannot recover from this server: ${reason}` });
}

function unrecoverableDataError(dataDir: string, reason: string): BerthError {
  return new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `cannot recover from the data directory ${dataDir}: ${reason}; use the --data-dir of a server of the cluster`,
    details: { dataDir },
  });
}

function etcdFailedError(reason: string): BerthError {
  return new BerthError({
    code: "BERTH_ETCD_FAILED",
    message: `etcd did not become the only member of its cluster: ${reason}; repeat the command, or restore the copy of its data`,
  });
}
