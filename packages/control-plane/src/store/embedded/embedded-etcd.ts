import { rmSync } from "node:fs";
import { join } from "node:path";
import type { BerthError } from "@berth/proto";
import type { Logger } from "pino";
import { EtcdStore } from "../etcd/etcd-store.js";
import { type EtcdTls, type EtcdTlsFiles, readEtcdTls, requireAddress, schemeOf } from "../etcd-tls.js";
import {
  type Bootstrap,
  type ClusterAccess,
  clientUrl,
  clientUrls,
  ETCD_DATA,
  type EtcdCluster,
  firstBootstrap,
  type GrowingMember,
  hasEtcdData,
  hostOf,
  initialCluster,
  isReplacementMember,
  joinBootstrap,
  MEMBER_PORTS,
  memberName,
  peerUrl,
  requireSameAddress,
  requireSameMembers,
  requireSameScheme,
} from "./cluster.js";
import { DataDir, type Ports } from "./data-dir.js";
import { EtcdHttpClient } from "./etcd-http.js";
import { requireEtcd } from "./etcd-process.js";
import { EtcdSupervisor } from "./etcd-supervisor.js";
import { choosePorts, requireFree } from "./free-ports.js";
import { completeMembership, joinMembers } from "./membership.js";

export interface EmbeddedEtcdOptions {
  /** Holds the whole state of the cluster. Created if missing. */
  readonly dataDir: string;
  /** Without TLS, every client that reaches this address can read and write all data. @default loopback */
  readonly listenHost?: string;
  /** @default the ports of the last run if they are free, or else two free ports */
  readonly ports?: Ports;
  /** The cluster that this member belongs to, with fixed ports on the address `self`. Undefined for a single member. */
  readonly cluster?: EtcdCluster | undefined;
  /** The address of a member that other servers can join. Not together with `cluster`, `listenHost` or `ports`. */
  readonly member?: GrowingMember | undefined;
  /**
   * The certificate of this server's member. Every client and member with a certificate of these authorities has access,
   * so they must not issue certificates for anything else. Undefined for an etcd without TLS.
   */
  readonly tls?: EtcdTlsFiles | undefined;
  readonly logger: Logger;
  /** The etcd executable; found on PATH by default. */
  readonly program?: string;
}

export interface EmbeddedEtcd {
  /** The client URLs of the members, starting with this one. `trackMembers` finds the others of a growing cluster. */
  readonly endpoints: readonly [string, ...string[]];
  /** Records the addresses of all members in the data directory. */
  recordMembers(addresses: readonly string[]): void;
  /** Resolves when etcd has stopped and is not restarted: after `stop`, or with the reason when it cannot be restarted. */
  readonly exited: Promise<BerthError | undefined>;
  /** Stops etcd and releases the data directory. */
  stop(): Promise<void>;
}

/**
 * Starts an embedded etcd and restarts it on the same ports until it is stopped or `signal` aborts. etcd syncs every write
 * to disk before it answers, with one fsync for concurrent writes, so etcd and the server can be killed at any time.
 * @throws BerthError BERTH_ETCD_MISSING, BERTH_ETCD_DATA_LOCKED, BERTH_ADDRESS_IN_USE, BERTH_IDENTITY_INVALID for
 *         unusable TLS files, BERTH_INPUT_INVALID for the data of another cluster, or BERTH_ETCD_FAILED if it does not start
 */
export async function startEmbeddedEtcd(
  options: EmbeddedEtcdOptions,
  signal: AbortSignal,
): Promise<EmbeddedEtcd> {
  const program = options.program ?? "etcd";
  requireEtcd(program);
  const { cluster, member } = options;
  const host = member?.address ?? cluster?.self ?? options.listenHost ?? "127.0.0.1";
  const tls = options.tls && (await readMemberTls(options.tls, host));
  const http = new EtcdHttpClient(tls);
  const dir = await DataDir.claim(options.dataDir);
  try {
    const scheme = schemeOf(options.tls);
    if (member !== undefined) requireSameAddress(dir.path, dir.members, member);
    else requireSameMembers(dir.path, dir.members, cluster);
    if (cluster !== undefined || dir.members.length > 1) requireSameScheme(dir.path, dir.scheme, scheme);
    const fixedPorts = options.ports ?? ((member ?? cluster) && MEMBER_PORTS);
    const ports = fixedPorts ? await requireFree(host, fixedPorts) : await choosePorts(host, dir.ports);
    const urls = { client: clientUrl(scheme, host, ports), peer: peerUrl(scheme, host, ports) };
    const start: StartOptions = {
      ...{ ...options, program, host, ports, dir, http, urls },
      ...{ access: { scheme, http }, clientTls: tls },
    };
    const supervisor = await startSupervisor(start, signal);
    return {
      endpoints: cluster ? clientUrls(scheme, cluster) : [urls.client],
      exited: supervisor.exited,
      recordMembers: (addresses) => supervisor.recordMembers(addresses),
      stop: () => supervisor.stop(),
    };
  } catch (error) {
    dir.release();
    throw error;
  } finally {
    http.close();
  }
}

async function readMemberTls(files: EtcdTlsFiles, host: string): Promise<EtcdTls> {
  const tls = await readEtcdTls(files, Date.now());
  requireAddress(files, tls, host);
  return tls;
}

interface StartOptions extends EmbeddedEtcdOptions {
  readonly program: string;
  readonly host: string;
  readonly ports: Ports;
  readonly dir: DataDir;
  readonly http: EtcdHttpClient;
  readonly access: ClusterAccess;
  /** This member's own URLs. */
  readonly urls: { readonly client: string; readonly peer: string };
  readonly clientTls: EtcdTls | undefined;
}

/** Starts etcd, and joins the cluster if this server has joined it. Stops etcd again when that fails. */
async function startSupervisor(options: StartOptions, signal: AbortSignal): Promise<EtcdSupervisor> {
  const { dir, http, member, logger } = options;
  for (let hasDiscarded = false; ; hasDiscarded = true) {
    const supervisor = new EtcdSupervisor({ ...options, ...(await findMembers(options, signal)) });
    try {
      await supervisor.start(http, signal);
    } catch (error) {
      // The cluster removes a learner when its server is away for long. A learner's data is a copy.
      if (!supervisor.wasRemoved || !dir.isJoining || hasDiscarded) throw error;
      logger.warn("the cluster has removed this server's etcd before it had a vote; joining again");
      rmSync(join(dir.path, ETCD_DATA), { recursive: true });
      continue;
    }
    if (member !== undefined) await completeOrStop(supervisor, member, options, signal);
    return supervisor;
  }
}

async function completeOrStop(
  supervisor: EtcdSupervisor,
  { requests }: GrowingMember,
  { urls, clientTls, dir, logger }: StartOptions,
  signal: AbortSignal,
): Promise<void> {
  const store = new EtcdStore({ endpoints: [urls.client], tls: clientTls });
  try {
    await completeMembership({ members: store.members, peerUrl: urls.peer, requests, logger }, signal);
    if (dir.isJoining) dir.recordJoining(false);
  } catch (error) {
    await supervisor.stop();
    throw error;
  } finally {
    store.close();
  }
}

/** Returns the members with which etcd starts if it has no data, and the addresses of those that are known. */
async function findMembers(
  options: StartOptions,
  signal: AbortSignal,
): Promise<{ readonly bootstrap: Bootstrap; readonly members: readonly string[] }> {
  const { cluster, member, dir, access, urls, logger } = options;
  if (member !== undefined) {
    const { address, requests } = member;
    const name = memberName(address);
    if (requests === undefined || hasEtcdData(dir.path)) {
      const members = dir.members.length === 0 ? [address] : dir.members;
      return { bootstrap: firstBootstrap(name, urls.peer), members };
    }
    const joined = await joinMembers({ requests, peerUrl: urls.peer, logger }, signal);
    dir.recordJoining(true);
    // Left by a crash while etcd created its files.
    rmSync(join(dir.path, ETCD_DATA), { recursive: true, force: true });
    const members = joined.flatMap(({ peerUrls }) => peerUrls.map(hostOf));
    return { bootstrap: joinBootstrap(name, urls.peer, joined), members };
  }
  if (cluster === undefined) return { bootstrap: firstBootstrap("berth", urls.peer), members: [] };
  const isReplacement = await isReplacementMember(cluster, dir.path, access);
  return {
    bootstrap: {
      name: memberName(cluster.self),
      initialCluster: initialCluster(access.scheme, cluster),
      state: isReplacement ? "existing" : "new",
    },
    members: cluster.members,
  };
}
