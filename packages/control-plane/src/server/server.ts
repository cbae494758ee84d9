import { hostname } from "node:os";
import { SCHEMA } from "../core/schema/migrations.js";
import { Metrics } from "../http/metrics.js";
import type { ServerIdentity } from "../identity/server-identity.js";
import { serverRemovedError } from "../identity/server-removed.js";
import { linkSignals } from "../runtime/abort.js";
import { type Clock, sleep } from "../runtime/clock.js";
import { watchLeader } from "../store/election.js";
import { LEADER_KEY } from "../store/keys.js";
import type { Store } from "../store/store.js";
import { ensureClusterKey, trackClusterKey } from "./cluster-key-tracker.js";
import { trackEtcdAuthorities } from "./etcd-authority-tracker.js";
import { LeaderContact } from "./leader-contact.js";
import { LeadershipState } from "./leadership-state.js";
import { requireNotRemoved, untilRemoved } from "./own-removal.js";
import { havePeersLostLeader } from "./peer-service.js";
import { type CandidateOptions, runCandidate } from "./run-candidate.js";
import { type Loop, runUntilStopped } from "./run-until-stopped.js";
import { type ServedWebUi, serveWebUi } from "./serve-web-ui.js";
import { openServerCertificate } from "./server-certificate.js";
import { type ServerListeners, startListeners } from "./server-listeners.js";
import type { ServerOptions } from "./server-options.js";
import { parseServerAddress, ServerRegistry } from "./server-registry.js";
import { waitForEtcd } from "./wait-for-etcd.js";
import { webUiHosts } from "./web-ui-hosts.js";

/** Time for which a stopping server waits for the next leader after its resignation. */
const NEXT_LEADER_TIMEOUT_MS = 500;

/** Time that in-flight calls then have to finish with the next leader. */
const FORWARD_MS = 200;

/**
 * Time for which a removed server continues to run, because it may forward the response to the call that removes it.
 */
const REMOVAL_RESPONSE_MS = 250;

export interface RunningServer {
  readonly address: string;
  readonly httpAddress: string;
  /** URL of the web UI. Undefined if the server has none. */
  readonly webUrl: string | undefined;
  /**
   * Resolves when everything that the server started has stopped, after its signal has aborted and it has resigned.
   * Rejects with BERTH_SERVER_REMOVED when it has stopped because it was removed from the cluster, with
   * BERTH_SCHEMA_UNSUPPORTED when a newer release has raised the schema, and with the error of a part that failed.
   */
  readonly stopped: Promise<void>;
}

/**
 * Starts one server of the control plane. It serves calls and campaigns for the leadership until `signal` is aborted.
 *
 * @throws BerthError BERTH_ETCD_UNAVAILABLE, BERTH_ADDRESS_IN_USE, BERTH_SCHEMA_UNSUPPORTED, BERTH_SERVER_REMOVED
 */
export async function startServer(options: ServerOptions, stopSignal: AbortSignal): Promise<RunningServer> {
  const { store, runtime, logger, identity, ownEtcd, problems = () => [], schema = SCHEMA } = options;
  const { clock } = runtime;
  await waitForEtcd(options, stopSignal);
  if (identity !== undefined) await requireNotRemoved(store, identity.serverId, stopSignal);
  // Aborts when the server must stop, when it was removed from the cluster, and when a part of it fails.
  const serving = linkSignals(stopSignal);
  const { signal } = serving;
  const identityLoops = identity === undefined ? [] : await openIdentity(identity, options, signal);

  const leadership = new LeadershipState(
    clock,
    () => problems().find(({ isCritical }) => isCritical)?.message,
  );
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

  const candidate = candidateOptions(options, { leadership, registry, contact, metrics, address });
  const closed = new AbortController();
  const isAlone = (): boolean => registry.addresses().length === 1;
  const loops: readonly Loop[] = [
    (signal) =>
      serveCalls(candidate, { leadership, listeners, webUi, isAlone }, signal).finally(() => closed.abort()),
    (signal) => registry.run(signal),
    ...identityLoops,
    // Calls in flight are forwarded to the next leader until the listeners are closed.
    () => trackLeader(leadership, store, clock, closed.signal),
  ];
  const stopped = runUntilStopped(loops, serving, logger);
  const { address: listen, httpAddress } = listeners;
  logger.info({ listen, http: httpAddress, advertise: address, web: webUi?.url }, "server started");
  return { address, httpAddress, webUrl: webUi?.url, stopped };
}

/**
 * Brings the cluster key and the certificate of this server up to date. Returns the loops that keep them so, and that
 * stop the server once it was removed from the cluster.
 */
async function openIdentity(
  identity: ServerIdentity,
  options: ServerOptions,
  signal: AbortSignal,
): Promise<readonly Loop[]> {
  const { store, runtime, logger, platform, listen, ownEtcd: etcd } = options;
  const keyTracking = { identity, store, runtime, logger, transport: platform.transport };
  // A server cannot issue its certificate without the current cluster key.
  await ensureClusterKey(keyTracking, signal);
  const hosts = hostsOfWebUi(options, listen);
  const renewCertificate = await openServerCertificate({ identity, hosts, store, runtime, logger }, signal);
  const loops: Loop[] = [
    (signal) => stopWhenRemoved(identity.serverId, options, signal),
    renewCertificate,
    (signal) => trackClusterKey(keyTracking, signal),
  ];
  if (etcd !== undefined) {
    const { serverId } = identity;
    const etcdTracking = { store, clock: runtime.clock, logger, serverId, etcd };
    loops.push((signal) => trackEtcdAuthorities(etcdTracking, signal));
  }
  return loops;
}

/** @throws BerthError BERTH_SERVER_REMOVED shortly after this server was removed from the cluster */
async function stopWhenRemoved(
  serverId: string,
  { store, runtime: { clock }, logger }: ServerOptions,
  signal: AbortSignal,
): Promise<void> {
  if (!(await untilRemoved({ store, clock, serverId }, signal))) return;
  logger.warn("this server was removed from the cluster; stopping");
  await sleep(clock, REMOVAL_RESPONSE_MS, signal);
  throw serverRemovedError();
}

/** Returns undefined if the platform cannot probe other servers. */
function createLeaderContact(
  { runtime, logger, platform }: ServerOptions,
  leadership: LeadershipState,
  registry: ServerRegistry,
): LeaderContact | undefined {
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

interface CandidateComponents {
  readonly leadership: LeadershipState;
  readonly registry: ServerRegistry;
  readonly contact: LeaderContact | undefined;
  readonly metrics: Metrics;
  /** Advertised address of this server. */
  readonly address: string;
}

function candidateOptions(
  options: ServerOptions,
  { leadership, registry, contact, metrics, address }: CandidateComponents,
): CandidateOptions {
  return {
    ...options,
    probe: options.platform.probe,
    observer: metrics,
    address,
    servers: () => registry.addresses(),
    registrations: () => registry.registrations(),
    onRegistrationsChange: (listener) => registry.onChange(listener),
    onLeaderChange: (leader) => leadership.setLeader(leader),
    // The hostname distinguishes servers on different hosts that listen on 127.0.0.1:7400.
    value: JSON.stringify({ address, host: hostname() }),
    contact,
  };
}

/** Opens the web UI. A server without an identity, as in simulations, has none. */
async function openWebUi(
  options: ServerOptions,
  handlers: ServerListeners["control"],
  advertise: string,
): Promise<ServedWebUi | undefined> {
  const { web, identity, logger } = options;
  if (web === undefined || identity === undefined) return undefined;
  const hosts = hostsOfWebUi(options, advertise);
  const { rpc, serverId } = identity;
  return serveWebUi({ web, advertise, hosts, identity: rpc, serverId, handlers, logger });
}

/** Returns the IP addresses and names at which browsers open the web UI. A server without a web UI needs none. */
function hostsOfWebUi({ web, webNames = [], advertise }: ServerOptions, address: string): readonly string[] {
  if (web === undefined) return [];
  return webUiHosts({ advertise: advertise ?? address, hostname: hostname(), names: webNames });
}

interface ServingComponents {
  readonly leadership: LeadershipState;
  readonly listeners: ServerListeners;
  readonly webUi: ServedWebUi | undefined;
  /** Returns whether no other server runs. */
  readonly isAlone: () => boolean;
}

/**
 * Campaigns for the leadership until the signal is aborted. Then gives calls in flight time to be retried with the next
 * leader, and closes the listeners.
 */
async function serveCalls(
  candidate: CandidateOptions,
  { leadership, listeners, webUi, isAlone }: ServingComponents,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = candidate.runtime;
  try {
    await runCandidate(candidate, signal).finally(() => webUi?.close());
    if (isAlone()) return;
    const { signal: unlimited } = new AbortController();
    await leadership.waitForRoute(NEXT_LEADER_TIMEOUT_MS, unlimited).catch(() => {
      // Without a next leader, the calls fail when the listeners close.
    });
    await sleep(clock, FORWARD_MS, unlimited);
  } finally {
    await listeners.close();
  }
}

/** Keeps the leadership's leader address up to date with the leader key. */
async function trackLeader(
  leadership: LeadershipState,
  store: Store,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  for await (const leader of watchLeader({ store, key: LEADER_KEY, clock }, signal)) {
    leadership.setLeaderAddress(leader && parseServerAddress(leader.value));
  }
}
