import { isIP } from "node:net";
import { join } from "node:path";
import { BerthError, isBerthError } from "@berth/proto";
import { grpcTransport } from "@berth/proto/rpc";
import { type ServiceManager, serviceManager } from "@berth/proto/service-manager";
import type { Logger } from "pino";
import { advertisedHost, type ServerConfig } from "./config.js";
import { openEtcdCertificate } from "./identity/etcd-certificate.js";
import { ServerDirectory } from "./identity/server-directory.js";
import { openServerIdentity, type ServerIdentity } from "./identity/server-identity.js";
import { Installer } from "./install/installer.js";
import { type LinkedSignal, linkSignals, onAbort, untilAborted } from "./runtime/abort.js";
import { systemClock } from "./runtime/clock.js";
import { systemRuntime } from "./runtime/runtime.js";
import { membershipRequests } from "./server/membership-requests.js";
import { OwnEtcd } from "./server/own-etcd.js";
import { runLoop } from "./server/run-until-stopped.js";
import { startServer } from "./server/server.js";
import { systemPlatform } from "./server/server-platform.js";
import { certificateAddresses, type JoinableMember } from "./store/embedded/cluster.js";
import { type EmbeddedEtcd, startEmbeddedEtcd } from "./store/embedded/embedded-etcd.js";
import { trackMembers } from "./store/embedded/track-members.js";
import { type EtcdWatch, watchEtcd } from "./store/embedded/watch-etcd.js";
import { EtcdStore } from "./store/etcd/etcd-store.js";
import { type EtcdTls, readEtcdTls } from "./store/etcd-tls.js";

/** Server addresses that only this host can reach. */
const LOOPBACK_ADDRESSES: ReadonlySet<string> = new Set(["127.0.0.1", "::1"]);

/** Timeout for the removal of an etcd member. It takes about a second, unless the other servers have no quorum. */
const MEMBER_REMOVAL_TIMEOUT_MS = 10 * 60_000;

/**
 * Runs the server. Marks the data directory when the cluster has removed this server, which then never starts again.
 *
 * @throws BerthError
 */
export async function runServer(config: ServerConfig, logger: Logger, signal: AbortSignal): Promise<void> {
  const { dataDir } = config;
  const manager = serviceManager({
    env: process.env,
    onFailure: (error) => logger.warn({ err: error }, "cannot report to systemd"),
  });
  const identity = await openServerIdentity({ dataDir, nowMs: Date.now(), newId: systemRuntime.newId });
  try {
    await runWithIdentity({ identity, manager }, config, logger, signal);
  } catch (error) {
    if (isBerthError(error, "BERTH_SERVER_REMOVED")) {
      await (await ServerDirectory.open(dataDir)).markRemoved();
    }
    throw error;
  }
}

/** Starts etcd, then the server. Stops them in the reverse order, because the leader needs etcd to resign. */
async function runWithIdentity(
  { identity, manager }: { readonly identity: ServerIdentity; readonly manager: ServiceManager },
  config: ServerConfig,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  const etcd = await openEtcd(config, identity, logger, signal);
  const { endpoints, tls } = etcd;
  const store = new EtcdStore({ endpoints, tls });
  const ownEtcd = etcd.own?.(store);
  const serving = linkSignals(signal);
  void etcd.exited.then((failure) => {
    if (failure === undefined) return;
    // Another process may be listening on etcd's port.
    store.close();
    serving.abort(failure);
  });
  try {
    await serve({ config, identity, manager, etcd, store, ownEtcd, logger }, serving, signal);
  } finally {
    // The certificate is needed until the server has stopped.
    await ownEtcd?.stop();
    store.close();
    await etcd.stop();
  }
  const failure = await etcd.exited;
  if (failure !== undefined) throw failure;
}

/** The etcd of a server, and the parts that exist before the server starts. */
interface ServeOptions {
  readonly config: ServerConfig;
  readonly identity: ServerIdentity;
  readonly manager: ServiceManager;
  readonly etcd: OpenEtcd;
  readonly store: EtcdStore;
  readonly ownEtcd: OwnEtcd | undefined;
  readonly logger: Logger;
}

/** Runs the server and the loops that watch its etcd. A loop that fails stops the server. */
async function serve(
  { config, identity, manager, etcd, store, ownEtcd, logger }: ServeOptions,
  serving: LinkedSignal,
  signal: AbortSignal,
): Promise<void> {
  const { trackMembers: track, watch } = etcd;
  const loops = Promise.all([
    track && runLoop((abort) => track(store, abort), serving),
    watch && runLoop((abort) => watch.run(store, abort), serving),
  ]);
  // Awaited below, after the server has stopped.
  loops.catch(() => {});
  try {
    const server = await startServer(
      {
        ...config,
        store,
        identity,
        platform: systemPlatform(identity.rpc),
        runtime: systemRuntime,
        logger,
        ownEtcd,
        installer: new Installer({ directory: join(config.dataDir, "package"), signal: serving.signal }),
        ...(watch && { problems: watch.problems }),
        // The operator of an external etcd changes its members, and may want its leader elsewhere.
        ...(track && {
          etcdMembers: store.members,
          moveEtcdLeader: (moveSignal) => store.moveLeader(moveSignal),
        }),
      },
      serving.signal,
    );
    await manager.ready();
    onAbort(signal, () => void manager.stopping());
    await server.stopped;
    logger.info("stopped");
  } catch (error) {
    // The other servers may need the vote of this server's etcd until they have removed it.
    if (isBerthError(error, "BERTH_SERVER_REMOVED")) await untilMemberRemoved(etcd, logger, signal);
    throw error;
  } finally {
    serving.unlink();
    serving.abort("the server has stopped");
    await loops;
  }
}

/** Waits until the other servers have removed this server's etcd member, which then exits. */
async function untilMemberRemoved(
  { exited, trackMembers }: OpenEtcd,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  if (trackMembers === undefined) return;
  logger.info("waiting until the other servers have removed the etcd member of this server");
  const limit = linkSignals(signal, AbortSignal.timeout(MEMBER_REMOVAL_TIMEOUT_MS));
  await Promise.race([exited, untilAborted(limit.signal)]);
  limit.unlink();
}

/** The etcd that a server uses, and the certificate that it presents there. */
interface OpenEtcd extends Pick<EmbeddedEtcd, "exited" | "stop"> {
  readonly endpoints: readonly [string, ...string[]];
  readonly tls?: EtcdTls | undefined;
  /** Keeps the certificate of an embedded etcd and of the store valid. */
  readonly own?: (store: EtcdStore) => OwnEtcd;
  /** Watches the process, the database and the disk of an embedded etcd. */
  readonly watch?: EtcdWatch;
  /** Follows the changes of the members until the signal is aborted. Undefined for members that do not change. */
  readonly trackMembers?: (store: EtcdStore, signal: AbortSignal) => Promise<void>;
}

/** Returns the external etcd of the settings, or starts an embedded one. */
async function openEtcd(
  config: ServerConfig,
  identity: ServerIdentity,
  logger: Logger,
  signal: AbortSignal,
): Promise<OpenEtcd> {
  const { etcd: endpoints, etcdTls, dataDir, etcdQuotaBytes: quotaBytes } = config;
  if (endpoints !== undefined) {
    const tls = etcdTls && (await readEtcdTls(etcdTls, Date.now()));
    return { endpoints, tls, exited: Promise.resolve(undefined), stop: async () => {} };
  }
  // The signal interrupts only the start. Once etcd runs, it is needed until everything else has stopped.
  const starting = linkSignals(signal);
  try {
    const etcdLogger = logger.child({ part: "etcd" });
    const certificate = await openEtcdCertificate(
      { identity, hosts: certificateAddresses(advertisedHost(config)), wallClockMs: () => Date.now() },
      starting.signal,
    );
    const member = joinableMember(config, identity);
    const etcd = await startEmbeddedEtcd(
      { dataDir, member, tls: certificate.paths, logger: etcdLogger, quotaBytes },
      starting.signal,
    );
    const { endpoint, exited } = etcd;
    return {
      endpoints: [endpoint],
      exited,
      stop: () => etcd.stop(),
      tls: certificate.files,
      watch: watchEtcd({ etcd, dataDir, quotaBytes, clock: systemClock, logger: etcdLogger }),
      own: (store) =>
        new OwnEtcd({ etcd, store, certificate, heldKey: identity.heldKey, logger: etcdLogger }),
      ...(member && {
        trackMembers: (store, abort) =>
          trackMembers({ store, etcd, clock: systemClock, logger: etcdLogger }, abort),
      }),
    };
  } finally {
    starting.unlink();
  }
}

/**
 * Returns the member options of an etcd that grows when servers join, or undefined for a server that other hosts cannot
 * reach.
 *
 * @throws BerthError BERTH_INPUT_INVALID for a server that has joined and that the other servers cannot reach
 */
function joinableMember(config: ServerConfig, identity: ServerIdentity): JoinableMember | undefined {
  const address = advertisedHost(config);
  const { servers } = identity;
  if (isIP(address) === 0 || LOOPBACK_ADDRESSES.has(address)) {
    if (servers.length === 0) return undefined;
    // It would start a separate etcd and thus a second cluster with the same identity.
    throw new BerthError({
      code: "BERTH_INPUT_INVALID",
      message: `this server has joined a cluster, whose servers cannot reach it at ${address}; set --listen or --advertise to an IP address of this host`,
    });
  }
  const transport = grpcTransport(identity.rpc);
  return { address, requests: servers.length === 0 ? undefined : membershipRequests({ transport, servers }) };
}
