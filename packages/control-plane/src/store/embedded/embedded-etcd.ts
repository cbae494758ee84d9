import { rmSync } from "node:fs";
import { join } from "node:path";
import type { BerthError } from "@berth/proto";
import type { Logger } from "pino";
import { EtcdStore } from "../etcd/etcd-store.js";
import { type EtcdTls, type EtcdTlsFiles, readEtcdTls, requireAddress } from "../etcd-tls.js";
import {
  type Bootstrap,
  clientUrl,
  ETCD_DATA,
  firstBootstrap,
  hasEtcdData,
  hostOf,
  type JoinableMember,
  joinBootstrap,
  LOOPBACK,
  MEMBER_PORTS,
  memberName,
  peerUrl,
  requireData,
  requireSameAddress,
} from "./cluster.js";
import { DataDir, type Ports } from "./data-dir.js";
import { EtcdHttpClient } from "./etcd-http.js";
import { EtcdSupervisor } from "./etcd-supervisor.js";
import { requireEtcd } from "./find-program.js";
import { choosePorts, requireFree } from "./free-ports.js";
import { completeMembership, joinMembers } from "./membership.js";

export interface EmbeddedEtcdOptions {
  /** Holds the whole state of the cluster. Created if missing. */
  readonly dataDir: string;
  /**
   * A member that other servers can join. Undefined for an etcd that listens on loopback only, on the ports of its last
   * run if they are free.
   */
  readonly member?: JoinableMember | undefined;
  /**
   * The certificate of this server's member. Every client and member with a certificate of these authorities has access,
   * so they must not issue certificates for anything else.
   */
  readonly tls: EtcdTlsFiles;
  readonly logger: Logger;
  /** Size of the database at which etcd refuses writes. */
  readonly quotaBytes?: number;
  /** Distinguishes a new cluster from an earlier one with the same address. */
  readonly clusterToken?: string;
  /** The etcd executable; found on PATH by default. */
  readonly program?: string;
}

export interface EmbeddedEtcd {
  /** The client URL of this member. `trackMembers` finds the URLs of the others. */
  readonly endpoint: string;
  /** Records the addresses of all members in the data directory. */
  recordMembers(addresses: readonly string[]): void;
  /** Reason why etcd is not running, with the remedy. Undefined while etcd runs. */
  readonly problem: string | undefined;
  /** The CA certificates that the running etcd has read, in PEM. */
  readonly authorities: string;
  /**
   * Restarts etcd, which then trusts the CA certificates in its file. Returns when it serves requests again.
   *
   * @throws BerthError BERTH_ETCD_FAILED, BERTH_IDENTITY_INVALID for unusable TLS files
   */
  restart(signal: AbortSignal): Promise<void>;
  /** Resolves when etcd has stopped and is not restarted: after `stop`, or with the reason when it cannot be restarted. */
  readonly exited: Promise<BerthError | undefined>;
  /** Stops etcd and releases the data directory. */
  stop(): Promise<void>;
}

/**
 * Starts an embedded etcd and restarts it on the same ports until it is stopped or `signal` is aborted. etcd syncs
 * every write to disk before it answers, with one fsync for concurrent writes, so etcd and the server can be killed at
 * any time.
 *
 * @throws BerthError BERTH_ETCD_MISSING, BERTH_ETCD_DATA_LOCKED, BERTH_ADDRESS_IN_USE, BERTH_IDENTITY_INVALID for
 *   unusable TLS files, BERTH_INPUT_INVALID for the data of another cluster, or BERTH_ETCD_FAILED if it does not start
 */
export async function startEmbeddedEtcd(
  options: EmbeddedEtcdOptions,
  signal: AbortSignal,
): Promise<EmbeddedEtcd> {
  const program = options.program ?? "etcd";
  requireEtcd(program);
  const { member } = options;
  const host = member?.address ?? LOOPBACK;
  const clientTls = await readMemberTls(options.tls, host);
  const http = new EtcdHttpClient(clientTls);
  const dir = await DataDir.claim(options.dataDir);
  try {
    requireSameAddress(dir.path, dir.members, { address: host, requests: member?.requests });
    requireData(dir, member);
    const ports =
      member === undefined ? await choosePorts(host, dir.ports) : await requireFree(host, MEMBER_PORTS);
    const urls = { client: clientUrl(host, ports), peer: peerUrl(host, ports) };
    const start: StartOptions = { ...options, program, host, ports, dir, http, urls, clientTls };
    const supervisor = await startSupervisor(start, signal);
    return {
      endpoint: urls.client,
      get problem() {
        return supervisor.problem;
      },
      exited: supervisor.exited,
      get authorities() {
        return supervisor.authorities;
      },
      restart: async (abort) => {
        const restartHttp = new EtcdHttpClient(await readMemberTls(options.tls, host));
        try {
          await supervisor.restart(restartHttp, abort);
        } finally {
          restartHttp.close();
        }
      },
      recordMembers: (addresses) => supervisor.recordMembers(addresses),
      stop: () => supervisor.stop(),
    };
  } catch (error) {
    try {
      dir.release();
    } catch {
      // Ignored in favor of the original error. The claim becomes invalid when this process exits.
    }
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
  /** This member's own URLs. */
  readonly urls: { readonly client: string; readonly peer: string };
  readonly clientTls: EtcdTls;
}

/** Starts etcd, and joins the cluster if this server has joined it. Stops etcd again when that fails. */
async function startSupervisor(options: StartOptions, signal: AbortSignal): Promise<EtcdSupervisor> {
  const { dir, http, member, logger } = options;
  for (let hasDiscarded = false; ; hasDiscarded = true) {
    const supervisor = new EtcdSupervisor({
      ...options,
      ...(await findMembers(options, signal)),
      canRejoin: member?.requests !== undefined,
    });
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
  { requests }: JoinableMember,
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

/** Returns the members with which etcd starts if it has no data, and the addresses of the known members. */
async function findMembers(
  options: StartOptions,
  signal: AbortSignal,
): Promise<{ readonly bootstrap: Bootstrap; readonly members: readonly string[] }> {
  const { member, dir, urls, logger, clusterToken } = options;
  if (member === undefined) {
    return { bootstrap: firstBootstrap("berth", urls.peer, clusterToken), members: [] };
  }
  const { address, requests } = member;
  const name = memberName(address);
  if (requests === undefined || hasEtcdData(dir.path)) {
    const members = dir.members.length === 0 ? [address] : dir.members;
    return { bootstrap: firstBootstrap(name, urls.peer), members };
  }
  const joined = await joinMembers({ requests, peerUrl: urls.peer, logger }, signal);
  dir.recordJoining(true);
  // Removes the remains of a crash while etcd created its files.
  rmSync(join(dir.path, ETCD_DATA), { recursive: true, force: true });
  const members = joined.flatMap(({ peerUrls }) => peerUrls.map(hostOf));
  return { bootstrap: joinBootstrap(name, urls.peer, joined), members };
}
