import { NodeState, type RegistryLoginChecked, type VolumeReply } from "@berth/proto";
import { LoginCodes } from "@berth/proto/login-codes";
import type { CallContext } from "@berth/proto/rpc";
import type { Logger } from "pino";
import { AuditLog } from "../api/audit/audit-log.js";
import { recordIfDenied } from "../api/audit/denied-calls.js";
import { controlHandlers } from "../api/control-service.js";
import { EventLog } from "../api/events/event-log.js";
import { authorizeUsers } from "../api/identities/authorize-users.js";
import { isMember } from "../api/identities/renew-certificate.js";
import { UnknownTokens } from "../api/identities/unknown-tokens.js";
import type { SchemaControl } from "../api/servers/finalize-upgrade.js";
import { MembershipChanges } from "../api/servers/membership-changes.js";
import { observeCluster } from "../api/watch/cluster-observer.js";
import { ClusterWatch } from "../api/watch/cluster-watch.js";
import { EventReplay } from "../api/watch/event-replay.js";
import { MissedEvents } from "../api/watch/missed-events.js";
import { TrafficWatch } from "../api/watch/traffic-watch.js";
import { DEFAULT_NETWORK_POOL } from "../core/allocator/address-pool.js";
import { DEFAULT_FLOOD_LIMIT } from "../core/allocator/dns-entries.js";
import { etcdServers } from "../core/membership/server-records.js";
import { announceServers } from "../dispatcher/announce-servers.js";
import { collectUnusedImages } from "../dispatcher/collect-images.js";
import { Dispatcher } from "../dispatcher/dispatcher.js";
import { dispatcherHandlers } from "../dispatcher/dispatcher-service.js";
import { AgentReplies } from "../dispatcher/relays/agent-replies.js";
import { ExecRelay } from "../dispatcher/relays/exec-relay.js";
import { ImageInventories } from "../dispatcher/relays/image-inventories.js";
import { ImageResolver } from "../dispatcher/relays/image-resolver.js";
import { ImageUploadRelay } from "../dispatcher/relays/image-upload-relay.js";
import { LogRelay } from "../dispatcher/relays/log-relay.js";
import { StatsRelay } from "../dispatcher/relays/stats-relay.js";
import { TrafficCollector } from "../dispatcher/relays/traffic-collector.js";
import { RestoreMonitor } from "../dispatcher/restore-monitor.js";
import type { Session } from "../dispatcher/session.js";
import { SessionRegistry } from "../dispatcher/session-registry.js";
import { StatusWriter } from "../dispatcher/status-writer.js";
import { createTrafficEntrySource } from "../dispatcher/traffic-entry-source.js";
import { TrafficTables } from "../dispatcher/traffic-tables.js";
import type { LeaderMetrics } from "../http/metrics.js";
import { surveyTraffic } from "../http/traffic-metrics.js";
import { AuthorityRotation } from "../identity/authority-rotation.js";
import { type CertificateIssuer, clusterIssuer } from "../identity/certificate-issuer.js";
import { ClusterKeyRotation } from "../identity/cluster-key-rotation.js";
import { EtcdAuthorityRotation } from "../identity/etcd-authority-rotation.js";
import { createFileSealer } from "../identity/file-sealer.js";
import { createLoginSealer } from "../identity/login-sealer.js";
import { storeFirstAuthority } from "../identity/store-first-authority.js";
import { LagMeter } from "../node-health/lag-meter.js";
import { NodeHealthMonitor } from "../node-health/node-health-monitor.js";
import { Autoscaler } from "../reconciler/autoscale/autoscaler.js";
import { WaitingClientsMonitor } from "../reconciler/autoscale/waiting-clients-monitor.js";
import { Controller } from "../reconciler/controller.js";
import { collectUnusedFiles } from "../reconciler/files/collect-files.js";
import { removeUnusedNetworks } from "../reconciler/networks/network-removal.js";
import { autoRebalance } from "../reconciler/rebalance/rebalancer.js";
import { Writer } from "../reconciler/writer.js";
import { Emitter } from "../runtime/emitter.js";
import type { Runtime } from "../runtime/runtime.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { StateSync } from "../state/state-sync.js";
import { fence, type Term } from "../store/election.js";
import type { Members } from "./access-rules.js";
import { keepEtcdLeaderLocal } from "./keep-etcd-leader-local.js";
import { keepServerRecords } from "./keep-server-records.js";
import type { LeaderOptions } from "./leader-options.js";
import type { LeaderComponents } from "./leadership-state.js";

export interface CreateLeaderOptions extends LeaderOptions {
  readonly term: Term;
  /** All records, loaded. */
  readonly state: ClusterState;
  readonly sync: StateSync;
  readonly schemaControl: SchemaControl;
}

/** A background loop of the leader. It runs until the signal is aborted. */
export type Loop = (signal: AbortSignal) => Promise<void>;

export interface CreatedLeader {
  readonly leader: LeaderComponents;
  /** The caller runs these loops during the term. */
  readonly loops: readonly Loop[];
}

/** The dependencies that most components of the leader share. */
interface TermContext {
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** Aborts when the term ends. */
  readonly signal: AbortSignal;
}

/** Creates the components of a leader for one term, in the order of their dependencies. */
export function createLeader(options: CreateLeaderOptions, signal: AbortSignal): CreatedLeader {
  const { term, state, store, runtime, logger, observer, address, servers, registrations } = options;
  const { clock } = runtime;
  // The revisions of a restored etcd start at 1. Only etcd itself compares the epoch without the generation.
  const epoch = term.epoch + BigInt(state.restore?.generation ?? 0);

  const events = new EventLog({ state, runtime, epoch, address, signal });
  const writer = new Writer({ store, state, fence: fence(term), clock, logger, observer });
  const context: TermContext = { state, writer, runtime, logger, signal };
  const controller = new Controller({ ...context, observer });

  const sessions = new SessionRegistry(logger);
  const lag = new LagMeter(clock);
  const suspicionChanged = new Emitter<string>((error) =>
    logger.error({ err: error }, "node suspicion listener failed"),
  );
  const nodeHealth = createNodeHealthMonitor(context, options, {
    sessions,
    lag,
    onSuspicion: (nodeId) => suspicionChanged.emit(nodeId),
  });

  const isSuspect = (nodeId: string): boolean => nodeHealth.isSuspect(nodeId);
  const floodLimit = options.floodLimit ?? DEFAULT_FLOOD_LIMIT;
  const entrySource = createTrafficEntrySource({ state, isSuspect, floodLimit });
  const tables = new TrafficTables({ state, clock, logger, signal, ...entrySource });
  suspicionChanged.on((nodeId) => {
    tables.markNodeStale(nodeId);
    events.recordSuspicion(nodeId, isSuspect(nodeId));
  });

  const autoscaler = new Autoscaler({
    ...context,
    onUsageRequest: (value) => sessions.broadcast({ $case: "measureUsage", value }),
  });
  const waitingClients = new WaitingClientsMonitor({
    ...context,
    onChange: (change, service) => events.recordWait(change, service),
    onWaiting: (service) => autoscaler.onClientsWaiting(service),
  });
  const trafficCollector = new TrafficCollector({ runtime, sessionOf: (nodeId) => sessions.get(nodeId) });
  const rotation = new AuthorityRotation({
    ...context,
    serverTrust: registrations,
    broadcast: (value) => sessions.broadcast({ $case: "authorities", value }),
  });
  const keyRotation =
    options.identity &&
    new ClusterKeyRotation({
      ...context,
      clusterKey: options.identity.clusterKey,
      serverKeys: registrations,
    });
  const restoreMonitor = new RestoreMonitor(context);
  const sealer = options.identity && createFileSealer(options.identity.clusterKey);
  const loginSealer = options.identity && createLoginSealer(options.identity.clusterKey);
  const loginChecks = new AgentReplies<RegistryLoginChecked>({
    runtime,
    sessionOf: (nodeId) => sessions.get(nodeId),
  });
  const volumes = new AgentReplies<VolumeReply>({
    runtime,
    sessionOf: (nodeId) => sessions.get(nodeId),
  });
  const relays = createRelays(context, sessions);
  const dispatcher = new Dispatcher({
    ...context,
    ...relays,
    sealer,
    loginSealer,
    loginChecks,
    volumes,
    sessions,
    epoch,
    servers,
    tables,
    hasStaticFdb: entrySource.hasStaticFdb,
    statusWriter: new StatusWriter(context),
    nodeHealth,
    autoscaler,
    waitingClients,
    trafficCollector,
    restoreMonitor,
    authorities: () => rotation.message,
    mustJoin: options.identity !== undefined,
  });

  announceServers({ servers, onChange: options.onRegistrationsChange, sessions }, signal);

  const membership = createMembership(options);
  const clusterWatch = new ClusterWatch({
    ...context,
    events,
    epoch,
    isSuspect,
    onSuspicion: (listener) => suspicionChanged.on(listener),
    observeCluster: (onChange, watchSignal) =>
      observeCluster(
        {
          ...context,
          registrations,
          onRegistrationsChange: options.onRegistrationsChange,
          membership,
          address,
          secrets: options.identity,
          hasEmbeddedEtcd: options.ownEtcd !== undefined,
        },
        onChange,
        watchSignal,
      ),
  });
  const replay = new EventReplay({
    state,
    store,
    clock,
    logger,
    epoch,
    untilRevision: state.revisions.latest,
  });
  const audit = new AuditLog({ ...context, epoch, address });
  const recordDenied = (path: string, call: CallContext, error: unknown): void =>
    recordIfDenied(audit, { path, context: call }, error);
  const control = controlHandlers({
    ...context,
    ...relays,
    ingress: tables.ingress,
    trafficCollector,
    events,
    loginCodes: new LoginCodes(),
    clusterWatch,
    missedEvents: new MissedEvents({ events, replay }),
    trafficWatch: new TrafficWatch({ ...context, trafficCollector }),
    audit,
    issuer: createIssuer(options),
    registrations,
    membership,
    schema: options.schemaControl,
    secrets: options.identity,
    heldKey: options.identity?.heldKey,
    hasEmbeddedEtcd: options.ownEtcd !== undefined,
    keyRotation,
    unknownTokens: new UnknownTokens(),
    installer: options.installer,
    restoreMonitor,
    store,
    sealer,
    loginSealer,
    loginChecks,
    volumes,
    networkPool: options.networkPool ?? DEFAULT_NETWORK_POOL,
    epoch,
    address,
    servers,
  });
  const metrics: LeaderMetrics = {
    state,
    sessionCount: () => sessions.size,
    workQueueDepth: () => controller.depth,
    writeQueueDepth: () => writer.waitingCount,
    eventLoopLagMs: () => lag.lagMs(),
    surveyTraffic: () => surveyTraffic({ state, trafficCollector, tableVersion: tables.version }),
  };
  return {
    leader: {
      control: authorizeUsers(control, state, recordDenied),
      audit,
      dispatcher: dispatcherHandlers({ dispatcher, state, ...relays, onSessionError: recordDenied }),
      metrics,
      members: membersOf(state),
    },
    loops: createLoops(context, options, {
      controller,
      autoscaler,
      lag,
      rotation,
      keyRotation,
      membership,
      imageInventories: relays.imageInventories,
    }),
  };
}

/** Returns undefined in the simulation. */
function createIssuer({ identity, state, runtime }: CreateLeaderOptions): CertificateIssuer | undefined {
  if (identity === undefined) return undefined;
  return clusterIssuer({
    authorities: () => state.authorities.values(),
    clusterKey: identity.clusterKey,
    wallClockMs: () => runtime.wallClockMs(),
  });
}

/** Returns undefined if etcd is external. */
function createMembership({
  etcdMembers,
  runtime,
  logger,
}: CreateLeaderOptions): MembershipChanges | undefined {
  if (etcdMembers === undefined) return undefined;
  return new MembershipChanges({
    members: etcdMembers,
    clock: runtime.clock,
    onStep: (step) => logger.info({ step }, "changed the members of etcd"),
  });
}

function membersOf(state: ClusterState): Members {
  return {
    has: (member) => isMember(member, state),
    onRemoved: (listener) =>
      state.onChange(({ nodes, isIdentityRevoked }) => {
        const isNodeRemoved = [...nodes.values()].some(({ after }) => after === undefined);
        if (isNodeRemoved || isIdentityRevoked) listener();
      }),
  };
}

interface NodeHealthLinks {
  readonly sessions: SessionRegistry;
  readonly lag: LagMeter;
  /** Called when a node becomes suspect or is trusted again. */
  readonly onSuspicion: (nodeId: string) => void;
}

function createNodeHealthMonitor(
  context: TermContext,
  { probe, observer }: LeaderOptions,
  { sessions, lag, onSuspicion }: NodeHealthLinks,
): NodeHealthMonitor {
  return new NodeHealthMonitor({
    ...context,
    lag,
    probe,
    observer,
    sendProbeRequest: (nodeId, value) => sessions.send(nodeId, { $case: "probe", value }),
    onSuspicion,
    onHeartbeatInterval: (heartbeatMs) =>
      sessions.broadcast({ $case: "heartbeatInterval", value: { heartbeatMs } }),
  });
}

interface Relays {
  readonly logs: LogRelay;
  readonly execs: ExecRelay;
  readonly stats: StatsRelay;
  readonly imageResolver: ImageResolver;
  readonly imageInventories: ImageInventories;
  readonly imageUploads: ImageUploadRelay;
}

/** Creates the relays between API calls and agents. */
function createRelays({ state, runtime, signal }: TermContext, sessions: SessionRegistry): Relays {
  // The session of a dead host can stay open for minutes, so requests to down nodes fail at once.
  const sessionOf = (nodeId: string): Session | undefined =>
    state.nodes.get(nodeId)?.state === NodeState.READY ? sessions.get(nodeId) : undefined;
  const logs = new LogRelay({ runtime, sessionOf });
  const execs = new ExecRelay({ runtime, sessionOf });
  const stats = new StatsRelay({ runtime, sessionOf, signal });
  const imageResolver = new ImageResolver({ runtime, sessionOf });
  const nodeIds = (): Iterable<string> => [...sessions.all()].map(({ nodeId }) => nodeId);
  const imageInventories = new ImageInventories({ runtime, sessionOf, nodeIds });
  const imageUploads = new ImageUploadRelay({ runtime, sessionOf });
  state.onChange(({ nodes }) => {
    for (const [nodeId, { after }] of nodes) {
      if (after?.state === NodeState.READY) continue;
      logs.onNodeDown(nodeId);
      execs.onNodeDown(nodeId);
      imageUploads.onNodeDown(nodeId);
    }
  });
  return { logs, execs, stats, imageResolver, imageInventories, imageUploads };
}

interface LoopComponents {
  readonly controller: Controller;
  readonly autoscaler: Autoscaler;
  readonly lag: LagMeter;
  readonly rotation: AuthorityRotation;
  readonly membership: MembershipChanges | undefined;
  readonly keyRotation: ClusterKeyRotation | undefined;
  readonly imageInventories: ImageInventories;
}

function createLoops(
  context: TermContext,
  options: CreateLeaderOptions,
  { controller, autoscaler, lag, rotation, keyRotation, membership, imageInventories }: LoopComponents,
): readonly Loop[] {
  const { writer, runtime, logger } = context;
  const { sync, moveEtcdLeader, autoRebalanceMs, identity, registrations, ownEtcd } = options;
  const { onRegistrationsChange } = options;
  const loops: Loop[] = [
    (signal) => writer.run(signal),
    (signal) => controller.run(signal),
    (signal) => autoscaler.run(signal),
    (signal) => lag.run(signal),
    () => sync.run(writer),
    (signal) => removeUnusedNetworks(context, signal),
    (signal) => collectUnusedFiles(context, signal),
    (signal) => collectUnusedImages({ ...context, imageInventories }, signal),
  ];
  if (identity !== undefined) {
    const { serverId } = identity;
    loops.push((signal) => rotation.run(signal));
    if (keyRotation !== undefined) loops.push((signal) => keyRotation.run(signal));
    loops.push((signal) =>
      keepServerRecords(
        { ...context, serverId, registrations, onRegistrationsChange, membership, moveEtcdLeader },
        signal,
      ),
    );
    if (ownEtcd !== undefined) {
      const { state } = context;
      const etcdRotation = new EtcdAuthorityRotation({
        ...context,
        serverId,
        etcdServers: () => etcdServers(state.servers.values(), registrations()),
        areMembersRunning: async (signal) =>
          membership === undefined || (await membership.observe(signal)).every(({ isRunning }) => isRunning),
      });
      loops.push((signal) => etcdRotation.run(signal));
    }
  }
  const firstAuthority = identity?.firstAuthority;
  if (firstAuthority !== undefined) {
    loops.push((signal) => storeFirstAuthority(firstAuthority, writer, signal));
  }
  if (moveEtcdLeader !== undefined) {
    const { clock } = runtime;
    loops.push((signal) => keepEtcdLeaderLocal({ moveEtcdLeader, clock, logger }, signal));
  }
  if (autoRebalanceMs !== undefined) {
    loops.push((signal) => autoRebalance({ ...context, afterMs: autoRebalanceMs }, signal));
  }
  return loops;
}
