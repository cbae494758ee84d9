import { hostname } from "node:os";
import {
  type ControlServiceService,
  DispatcherServiceService,
  isBerthError,
  PeerServiceService,
  scaleTiming,
} from "@berth/proto";
import { type Probe, probeHost } from "@berth/proto/probe";
import {
  grpcTransport,
  type RpcHandlers,
  type RpcIdentity,
  type RpcServer,
  type RpcTransport,
  rpcService,
  startRpcServer,
} from "@berth/proto/rpc";
import type { Logger } from "pino";
import { SCHEMA } from "../core/schema/migrations.js";
import { checkHealth } from "../http/health.js";
import { type HttpServerOptions, startHttpServer } from "../http/http-server.js";
import { Metrics } from "../http/metrics.js";
import { serverRemovedError } from "../identity/server-removed.js";
import { InstallServer } from "../install/install-server.js";
import { linkSignals } from "../runtime/abort.js";
import { type Clock, sleep } from "../runtime/clock.js";
import type { Runtime } from "../runtime/runtime.js";
import type { ServerProblem } from "../runtime/server-problem.js";
import { watchLeader } from "../store/election.js";
import { LEADER_KEY } from "../store/keys.js";
import { ensureSchema } from "../store/schema.js";
import type { Store } from "../store/store.js";
import { accessRules } from "./access-rules.js";
import { ensureClusterKey, trackClusterKey } from "./cluster-key-tracker.js";
import { FORWARDED_CONTROL, routeControlService } from "./control-router.js";
import { routeDispatcherService } from "./dispatcher-router.js";
import { trackEtcdAuthorities } from "./etcd-authority-tracker.js";
import { LeaderContact } from "./leader-contact.js";
import type { LeaderSettings } from "./leader-options.js";
import { LeadershipState } from "./leadership-state.js";
import { requireNotRemoved, untilRemoved } from "./own-removal.js";
import { havePeersLostLeader, peerHandlers } from "./peer-service.js";
import { probeTcp, type TcpProbe } from "./probe-tcp.js";
import { RefusalReporter } from "./refusal-reporter.js";
import { runCandidate } from "./run-candidate.js";
import { type ServedWebUi, serveWebUi } from "./serve-web-ui.js";
import { openServerCertificate } from "./server-certificate.js";
import { parseServerAddress, ServerRegistry } from "./server-registry.js";
import { webUiHosts } from "./web-ui-hosts.js";

/** Time for which the start waits for etcd, which may start at the same time. */
const ETCD_START_TIMEOUT_MS = scaleTiming(10_000);

/** Pause between two attempts to reach etcd. */
const ETCD_START_RETRY_MS = 250;

/** Time for which a stopping server waits for the next leader after its resignation. */
const NEXT_LEADER_TIMEOUT_MS = 500;

/** Time that in-flight calls then have to finish with the next leader. */
const FORWARD_MS = 200;

/**
 * Time for which a removed server continues to run, because it may forward the response to the call that removes it.
 */
const REMOVAL_RESPONSE_MS = 250;

/** Grace period for in-flight responses when the server stops. */
const CLOSE_GRACE_MS = 500;

export interface ServerOptions extends LeaderSettings {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** "host:port" for gRPC; port 0 picks a free port. */
  readonly listen: string;
  /** "host:port" for /healthz and /metrics. */
  readonly http: string;
  /** "host:port" of the web UI. Undefined for none. */
  readonly web?: string | undefined;
  /** Names at which browsers open the web UI, besides the advertised host and the hostname. */
  readonly webNames?: readonly string[];
  /** "host:port" where other servers and agents reach this server; the listen address when undefined. */
  readonly advertise: string | undefined;
  /** Path of the Unix socket for the administrator of this host. Undefined for none. */
  readonly socket?: string | undefined;
  readonly platform: ServerPlatform;
  /** Returns the current problems of this server's disk and etcd. Undefined in the simulation. */
  readonly problems?: () => readonly ServerProblem[];
}

/** The network access of a server, except for the store and the Unix socket. The simulation replaces it. */
export interface ServerPlatform {
  readonly transport: RpcTransport;
  readonly startHttp: typeof startHttpServer;
  readonly probe: Probe;
  /** Probes the leader. Undefined if a dead leader is replaced only after its lease has expired. */
  readonly probeTcp?: TcpProbe;
}

/** Returns the network access of a real server with this identity. */
export function systemPlatform(identity: RpcIdentity): ServerPlatform {
  return {
    transport: grpcTransport(identity),
    startHttp: (options) => startHttpServer({ ...options, identity }),
    probe: probeHost,
    probeTcp,
  };
}

export interface RunningServer {
  readonly address: string;
  readonly httpAddress: string;
  /** URL of the web UI. Undefined if the server has none. */
  readonly webUrl: string | undefined;
  /**
   * Resolves when the server has stopped: its signal has aborted and it has resigned. Rejects with BERTH_SERVER_REMOVED
   * when it has stopped because it was removed from the cluster, and with BERTH_SCHEMA_UNSUPPORTED when a newer
   * release has raised the schema.
   */
  readonly stopped: Promise<void>;
}

/**
 * Starts one server of the control plane. It serves calls and campaigns for the leadership until `signal` is aborted.
 *
 * @throws BerthError BERTH_ETCD_UNAVAILABLE, BERTH_ADDRESS_IN_USE, BERTH_SCHEMA_UNSUPPORTED, BERTH_SERVER_REMOVED
 */
export async function startServer(options: ServerOptions, stopSignal: AbortSignal): Promise<RunningServer> {
  const { store, runtime, logger, identity, platform } = options;
  const { clock } = runtime;
  await waitForEtcd(options, stopSignal);
  if (identity !== undefined) await requireNotRemoved(store, identity.serverId, stopSignal);
  // Aborts when the server must stop, and when it was removed from the cluster.
  const serving = linkSignals(stopSignal);
  const { signal } = serving;
  const keyTracking = identity && { ...options, identity, transport: platform.transport };
  // A server cannot issue its certificate without the current cluster key.
  if (keyTracking !== undefined) await ensureClusterKey(keyTracking, signal);
  const renewUntilAborted =
    identity &&
    (await openServerCertificate(
      { ...options, identity, hosts: hostsOfWebUi(options, options.listen) },
      signal,
    ));

  const { problems = () => [], schema = SCHEMA } = options;
  const leadership = new LeadershipState(
    clock,
    () => problems().find(({ isCritical }) => isCritical)?.message,
  );
  const { ownEtcd } = options;
  const registry = new ServerRegistry({
    store,
    runtime,
    logger,
    identity,
    schema: schema.versions,
    etcd: ownEtcd,
  });
  const contact = createLeaderContact(options, leadership, registry);
  const metrics = new Metrics(() => leadership.leader?.metrics);
  const listeners = await startListeners(options, { leadership, contact, metrics }, signal);

  // With port 0, the address is known only after the start of the listeners.
  const address = options.advertise ?? listeners.address;
  leadership.setOwnAddress(address);
  registry.setOwnAddress(address);
  const webUi = await openWebUi(options, listeners.control, address);
  if (webUi !== undefined) registry.setWebUrl(webUi.url);

  const candidate = runCandidate(
    {
      ...options,
      schema,
      probe: platform.probe,
      observer: metrics,
      address,
      servers: () => registry.addresses(),
      registrations: () => registry.registrations(),
      onRegistrationsChange: (listener) => registry.onChange(listener),
      onLeaderChange: (leader) => leadership.setLeader(leader),
      // The hostname distinguishes servers on different hosts that listen on 127.0.0.1:7400.
      value: JSON.stringify({ address, host: hostname() }),
      contact,
    },
    signal,
  );
  const registration = registry.run(signal);
  const removal = identity && untilRemoved({ store, clock, serverId: identity.serverId }, signal);
  void removal?.then(async (isRemoved) => {
    if (!isRemoved) return;
    logger.warn("this server was removed from the cluster; stopping");
    await sleep(clock, REMOVAL_RESPONSE_MS, signal);
    serving.abort(serverRemovedError());
  });
  const renewal = renewUntilAborted?.(signal);
  const keyTracker = keyTracking && trackClusterKey(keyTracking, signal);
  const etcdTracker =
    identity && ownEtcd && trackEtcdAuthorities({ ...options, clock, ...identity, etcd: ownEtcd }, signal);
  const tracking = new AbortController();
  const leaderTracker = trackLeader({ store, leadership, clock }, tracking.signal);

  /** Waits for the resignation, lets calls in flight finish with the next leader, and closes the listeners. */
  const stop = async (): Promise<void> => {
    await candidate.catch(async (error: unknown) => {
      tracking.abort();
      webUi?.close();
      await listeners.close();
      throw error;
    });
    webUi?.close();
    const isAlone = registry.addresses().length === 1;
    if (!isAlone) await forwardRemainingCalls(leadership, clock, tracking.signal);
    await listeners.close();
    tracking.abort();
    await Promise.all([registration, renewal, keyTracker, etcdTracker, leaderTracker]);
    serving.unlink();
    if (await removal) throw serverRemovedError();
  };
  const { address: listen, httpAddress } = listeners;
  logger.info({ listen, http: httpAddress, advertise: address, web: webUi?.url }, "server started");
  return { address, httpAddress, webUrl: webUi?.url, stopped: stop() };
}

/** Returns undefined if the platform cannot probe other servers. */
function createLeaderContact(
  options: ServerOptions,
  leadership: LeadershipState,
  registry: ServerRegistry,
): LeaderContact | undefined {
  const { runtime, logger, platform } = options;
  const { probeTcp, transport } = platform;
  if (probeTcp === undefined) return undefined;
  return new LeaderContact({
    clock: runtime.clock,
    logger,
    probeTcp,
    havePeersLostLeader: (leader, signal) =>
      havePeersLostLeader({ transport, peers: registry.peersExcept(leader), leader }, signal),
    onSuspicion: (isSuspect) => leadership.setLeaderSuspect(isSuspect),
  });
}

interface ListenerDependencies {
  readonly leadership: LeadershipState;
  readonly contact: LeaderContact | undefined;
  readonly metrics: Metrics;
}

/** The gRPC and HTTP listeners of a server. */
interface Listeners {
  /** Address of the gRPC listener. */
  readonly address: string;
  readonly httpAddress: string;
  /** The Control service of this server. */
  readonly control: RpcHandlers<typeof ControlServiceService>;
  /** Closes all listeners, after a grace period for responses in flight. */
  close(): Promise<void>;
}

/** Starts all listeners, or none. Calls wait until a leader is known. */
async function startListeners(
  options: ServerOptions,
  { leadership, contact, metrics }: ListenerDependencies,
  signal: AbortSignal,
): Promise<Listeners> {
  const { listen, http, socket, runtime, logger, platform } = options;
  const { transport } = platform;
  const router = routeControlService({ leadership, clock: runtime.clock, transport });
  const refusals = new RefusalReporter({ leadership, clock: runtime.clock, transport, logger, signal });
  const access = accessRules(leadership, refusals);
  const onInternalError = (path: string, error: unknown): void =>
    logger.error({ err: error, path }, "call failed unexpectedly");
  const opened: RpcServer[] = [];
  const closeAll = (graceMs: number): Promise<unknown> =>
    Promise.all(opened.map((listener) => listener.close(graceMs)));
  try {
    const rpc = await transport.serve({
      address: listen,
      access,
      services: [
        rpcService(FORWARDED_CONTROL, router.handlers),
        rpcService(DispatcherServiceService, routeDispatcherService(leadership)),
        rpcService(
          PeerServiceService,
          peerHandlers({
            isInContact: (epoch) => contact?.isInContact(epoch) === true,
            clusterKey: options.identity?.clusterKey,
            requireNotRemoved: (serverId, abort) => requireNotRemoved(options.store, serverId, abort),
            audit: () => leadership.leader?.audit,
            logger,
          }),
        ),
      ],
      ...(options.installer && { http: new InstallServer(options.installer, logger) }),
      onInternalError,
    });
    opened.push(rpc);
    if (socket !== undefined) {
      const services = [rpcService(FORWARDED_CONTROL, router.handlers)];
      const listener = { kind: "unix", path: socket } as const;
      opened.push(await startRpcServer({ listener, services, onInternalError }));
    }
    const routes = createHttpRoutes({ ...options, leadership, metrics });
    const httpListener = await platform.startHttp({ listen: http, routes, revocations: access.revocations });
    return {
      address: rpc.address,
      httpAddress: httpListener.address,
      control: router.handlers,
      close: async () => {
        await closeAll(CLOSE_GRACE_MS);
        httpListener.close();
        router.close();
      },
    };
  } catch (error) {
    await closeAll(0);
    router.close();
    throw error;
  }
}

/** Opens the web UI. A server without an identity, as in simulations, has none. */
async function openWebUi(
  options: ServerOptions,
  handlers: Listeners["control"],
  advertise: string,
): Promise<ServedWebUi | undefined> {
  const { web, identity, logger } = options;
  if (web === undefined || identity === undefined) return undefined;
  return serveWebUi({ web, advertise, hosts: hostsOfWebUi(options, advertise), identity, handlers, logger });
}

/** Returns the IP addresses and names at which browsers open the web UI. A server without a web UI needs none. */
function hostsOfWebUi({ web, webNames = [], advertise }: ServerOptions, address: string): readonly string[] {
  if (web === undefined) return [];
  return webUiHosts({ advertise: advertise ?? address, hostname: hostname(), names: webNames });
}

function createHttpRoutes({
  store,
  problems,
  leadership,
  metrics,
}: Pick<ServerOptions, "store" | "problems"> & {
  readonly leadership: LeadershipState;
  readonly metrics: Metrics;
}): HttpServerOptions["routes"] {
  return {
    "/healthz": { isPublic: true, answer: () => checkHealth(store, leadership, problems?.()) },
    "/metrics": {
      isPublic: false,
      answer: async () => ({
        status: 200,
        contentType: "text/plain; version=0.0.4",
        body: await metrics.render(),
      }),
    },
  };
}

/** Gives calls in flight time to be retried with the next leader. */
async function forwardRemainingCalls(
  leadership: LeadershipState,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  await leadership.waitForRoute(NEXT_LEADER_TIMEOUT_MS, signal).catch(() => {
    // Without a next leader, the calls fail when the listeners close.
  });
  await sleep(clock, FORWARD_MS, signal);
}

/** Keeps the leadership's leader address up to date with the leader key. */
async function trackLeader(
  {
    store,
    leadership,
    clock,
  }: { readonly store: Store; readonly leadership: LeadershipState; readonly clock: Clock },
  signal: AbortSignal,
): Promise<void> {
  for await (const leader of watchLeader({ store, key: LEADER_KEY, clock }, signal)) {
    leadership.setLeaderAddress(leader && parseServerAddress(leader.value));
  }
}

/**
 * Waits until etcd responds and its schema is supported.
 *
 * @throws BerthError BERTH_SCHEMA_UNSUPPORTED, BERTH_ETCD_UNAVAILABLE after 10 s
 */
async function waitForEtcd(
  { store, runtime, logger, schema = SCHEMA }: ServerOptions,
  signal: AbortSignal,
): Promise<void> {
  const deadlineMs = runtime.clock.nowMs() + ETCD_START_TIMEOUT_MS;
  for (;;) {
    try {
      return await ensureSchema(store, schema.versions, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!isBerthError(error, "BERTH_ETCD_UNAVAILABLE") || runtime.clock.nowMs() > deadlineMs) throw error;
      logger.debug({ err: error }, "waiting for etcd");
    }
    await sleep(runtime.clock, ETCD_START_RETRY_MS, signal);
  }
}
