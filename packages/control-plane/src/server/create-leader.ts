import { LoginCodes } from "@berth/proto/login-codes";
import type { CallContext } from "@berth/proto/rpc";
import { AuditLog } from "../api/audit/audit-log.js";
import { recordIfDenied } from "../api/audit/denied-calls.js";
import { controlHandlers } from "../api/control-service.js";
import { EventLog } from "../api/events/event-log.js";
import { authorizeUsers } from "../api/identities/authorize-users.js";
import { isMember } from "../api/identities/renew-certificate.js";
import { UnknownTokens } from "../api/identities/unknown-tokens.js";
import { MembershipChanges } from "../api/servers/membership-changes.js";
import { observeCluster } from "../api/watch/cluster-observer.js";
import { ClusterWatch } from "../api/watch/cluster-watch.js";
import { EventReplay } from "../api/watch/event-replay.js";
import { MissedEvents } from "../api/watch/missed-events.js";
import { TrafficWatch } from "../api/watch/traffic-watch.js";
import { DEFAULT_NETWORK_POOL } from "../core/allocator/address-pool.js";
import { announceServers } from "../dispatcher/announce-servers.js";
import { Dispatcher } from "../dispatcher/dispatcher.js";
import { dispatcherHandlers } from "../dispatcher/dispatcher-service.js";
import { RestoreMonitor } from "../dispatcher/restore-monitor.js";
import { SessionRegistry } from "../dispatcher/session-registry.js";
import { StatusWriter } from "../dispatcher/status-writer.js";
import { surveyTraffic } from "../http/traffic-metrics.js";
import { Autoscaler } from "../reconciler/autoscale/autoscaler.js";
import { WaitingClientsMonitor } from "../reconciler/autoscale/waiting-clients-monitor.js";
import { Controller } from "../reconciler/controller.js";
import { Writer } from "../reconciler/writer.js";
import type { ClusterState } from "../state/cluster-state.js";
import { fence } from "../store/election.js";
import type { Members } from "./access-rules.js";
import { createRelays } from "./create-relays.js";
import { createLoops } from "./leader-loops.js";
import { createAuthorityRotation, createClusterKeyComponents } from "./leader-secrets.js";
import type { LeaderComponents } from "./leadership-state.js";
import { createNodeTracking, type NodeTracking } from "./node-tracking.js";
import type { Loop } from "./run-until-stopped.js";
import type { TermContext, TermOptions } from "./term-context.js";

export interface CreatedLeader {
  readonly leader: LeaderComponents;
  /** The caller runs these loops during the term. */
  readonly loops: readonly Loop[];
}

/** Creates the components of a leader for one term, in the order of their dependencies. */
export function createLeader(options: TermOptions, signal: AbortSignal): CreatedLeader {
  const { term, state, store, runtime, logger, observer, address, servers, identity } = options;
  // The revisions of a restored etcd start at 1. Only etcd itself compares the epoch without the generation.
  const epoch = term.epoch + BigInt(state.restore?.generation ?? 0);

  const events = new EventLog({ state, runtime, epoch, address, signal });
  const writer = new Writer({ store, state, fence: fence(term), clock: runtime.clock, logger, observer });
  const context: TermContext = { state, writer, runtime, logger, signal };
  const controller = new Controller({ ...context, observer });
  const sessions = new SessionRegistry(logger);
  const nodeTracking = createNodeTracking(context, options, sessions);
  const { nodeHealth, isSuspect, tables, lag } = nodeTracking;
  nodeTracking.onSuspicion((nodeId) => events.recordSuspicion(nodeId, isSuspect(nodeId)));
  const { autoscaler, waitingClients } = createAutoscaling(context, sessions, events);
  const authorityRotation = createAuthorityRotation(context, options, sessions);
  const keyComponents = identity && createClusterKeyComponents(identity, context, options);
  const { issuer, keyRotation, sealer, loginSealer } = keyComponents ?? {};
  const restoreMonitor = new RestoreMonitor(context);
  const relays = createRelays(context, sessions);

  const dispatcher = new Dispatcher({
    ...context,
    ...relays,
    sealer,
    loginSealer,
    sessions,
    epoch,
    servers,
    tables,
    hasStaticFdb: nodeTracking.hasStaticFdb,
    statusWriter: new StatusWriter(context),
    nodeHealth,
    autoscaler,
    waitingClients,
    restoreMonitor,
    authorities: () => authorityRotation.message,
    mustJoin: identity !== undefined,
  });
  announceServers({ servers, onChange: options.onRegistrationsChange, sessions }, signal);

  const membership = createMembership(options);
  const clusterWatch = createClusterWatch(context, options, { epoch, events, membership, nodeTracking });
  const replay = createEventReplay(options, epoch);
  const audit = new AuditLog({ ...context, epoch, address });
  const control = controlHandlers({
    ...context,
    ...relays,
    ingress: tables.ingress,
    events,
    loginCodes: new LoginCodes(),
    clusterWatch,
    missedEvents: new MissedEvents({ events, replay }),
    trafficWatch: new TrafficWatch({ ...context, trafficCollector: relays.trafficCollector }),
    audit,
    issuer,
    registrations: options.registrations,
    membership,
    schema: options.schemaControl,
    secrets: identity,
    heldKey: identity?.heldKey,
    hasEmbeddedEtcd: options.ownEtcd !== undefined,
    keyRotation,
    unknownTokens: new UnknownTokens(),
    installer: options.installer,
    restoreMonitor,
    store,
    sealer,
    loginSealer,
    networkPool: options.networkPool ?? DEFAULT_NETWORK_POOL,
    epoch,
    address,
    servers,
  });
  const recordDenied = (path: string, call: CallContext, error: unknown): void =>
    recordIfDenied(audit, { path, context: call }, error);
  const { trafficCollector, imageInventories } = relays;
  return {
    leader: {
      control: authorizeUsers(control, state, recordDenied),
      audit,
      dispatcher: dispatcherHandlers({ dispatcher, state, ...relays, onSessionError: recordDenied }),
      metrics: {
        state,
        sessionCount: () => sessions.size,
        workQueueDepth: () => controller.depth,
        writeQueueDepth: () => writer.waitingCount,
        eventLoopLagMs: () => lag.lagMs(),
        surveyTraffic: () => surveyTraffic({ state, trafficCollector, tableVersion: tables.version }),
      },
      members: membersOf(state),
    },
    loops: createLoops(context, options, {
      controller,
      autoscaler,
      lag,
      imageInventories,
      authorityRotation,
      keyRotation,
      membership,
    }),
  };
}

interface Autoscaling {
  readonly autoscaler: Autoscaler;
  readonly waitingClients: WaitingClientsMonitor;
}

function createAutoscaling(context: TermContext, sessions: SessionRegistry, events: EventLog): Autoscaling {
  const autoscaler = new Autoscaler({
    ...context,
    onUsageRequest: (value) => sessions.broadcast({ $case: "measureUsage", value }),
  });
  const waitingClients = new WaitingClientsMonitor({
    ...context,
    onChange: (change, service) => events.recordWait(change, service),
    onWaiting: (service) => autoscaler.onClientsWaiting(service),
  });
  return { autoscaler, waitingClients };
}

/** Returns undefined if etcd is external. */
function createMembership({ etcdMembers, runtime, logger }: TermOptions): MembershipChanges | undefined {
  if (etcdMembers === undefined) return undefined;
  return new MembershipChanges({
    members: etcdMembers,
    clock: runtime.clock,
    onStep: (step) => logger.info({ step }, "changed the members of etcd"),
  });
}

interface WatchComponents {
  readonly epoch: bigint;
  readonly events: EventLog;
  readonly membership: MembershipChanges | undefined;
  readonly nodeTracking: NodeTracking;
}

function createClusterWatch(
  context: TermContext,
  { registrations, onRegistrationsChange, address, identity, ownEtcd }: TermOptions,
  { epoch, events, membership, nodeTracking }: WatchComponents,
): ClusterWatch {
  const { isSuspect, onSuspicion } = nodeTracking;
  const observerOptions = {
    ...context,
    registrations,
    onRegistrationsChange,
    membership,
    address,
    secrets: identity,
    hasEmbeddedEtcd: ownEtcd !== undefined,
  };
  return new ClusterWatch({
    ...context,
    events,
    epoch,
    isSuspect,
    onSuspicion,
    observeCluster: (onChange, signal) => observeCluster(observerOptions, onChange, signal),
  });
}

/** Creates the replay of the events that happened before this term. */
function createEventReplay({ state, store, runtime, logger }: TermOptions, epoch: bigint): EventReplay {
  const untilRevision = state.revisions.latest;
  return new EventReplay({ state, store, clock: runtime.clock, logger, epoch, untilRevision });
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
