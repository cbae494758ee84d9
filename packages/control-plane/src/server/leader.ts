import { isBerthError, NodeState } from "@berth/proto";
import type { Probe } from "@berth/proto/probe";
import type { Logger } from "pino";
import { controlHandlers } from "../api/control-service.js";
import { EventLog } from "../api/events/event-log.js";
import { DEFAULT_NETWORK_POOL, type NetworkPool } from "../core/allocator/address-pool.js";
import { DEFAULT_FLOOD_LIMIT } from "../core/allocator/dns-entries.js";
import { Dispatcher } from "../dispatcher/dispatcher.js";
import { dispatcherHandlers } from "../dispatcher/dispatcher-service.js";
import { ExecRelay } from "../dispatcher/relays/exec-relay.js";
import { LogRelay } from "../dispatcher/relays/log-relay.js";
import { StatsRelay } from "../dispatcher/relays/stats-relay.js";
import { TrafficCollector } from "../dispatcher/relays/traffic-collector.js";
import type { Session } from "../dispatcher/session.js";
import { SessionRegistry } from "../dispatcher/session-registry.js";
import { StatusWriter } from "../dispatcher/status-writer.js";
import { createTrafficEntrySource } from "../dispatcher/traffic-entry-source.js";
import { TrafficTables } from "../dispatcher/traffic-tables.js";
import { surveyTraffic } from "../http/traffic-metrics.js";
import { LagMeter } from "../node-health/lag-meter.js";
import { NodeHealthMonitor, type NodeHealthObserver } from "../node-health/node-health-monitor.js";
import { Autoscaler } from "../reconciler/autoscale/autoscaler.js";
import { Controller, type ControllerObserver } from "../reconciler/controller.js";
import { removeUnusedNetworks } from "../reconciler/networks/network-removal.js";
import { autoRebalance } from "../reconciler/rebalance/rebalancer.js";
import { Writer, type WriterObserver } from "../reconciler/writer.js";
import { onAbort } from "../runtime/abort.js";
import { Emitter } from "../runtime/emitter.js";
import { notLeader } from "../runtime/leader-errors.js";
import type { Runtime } from "../runtime/runtime.js";
import { steadyTime } from "../runtime/steady-time.js";
import { ClusterState } from "../state/cluster-state.js";
import { latestRecordedMs } from "../state/latest-time.js";
import { StateSync } from "../state/state-sync.js";
import { fence, type Term } from "../store/election.js";
import type { Store } from "../store/store.js";
import { keepEtcdLeaderLocal } from "./keep-etcd-leader-local.js";
import type { Leader } from "./role.js";

/** Receives the measurements of a leader, for its metrics. */
export type LeaderObserver = WriterObserver & ControllerObserver & NodeHealthObserver;

/** The parts of a server's configuration that matter only while it is the leader. */
export interface LeaderSettings {
  /** How long a returned node must be up before tasks move to it. Undefined when only `berth rebalance` moves tasks. */
  readonly autoRebalanceMs?: number | undefined;
  /** Makes the etcd member on this host etcd's leader; resolves to whether another member was. Undefined when etcd is external. */
  readonly moveEtcdLeader?: ((signal: AbortSignal) => Promise<boolean>) | undefined;
  /** Address ranges from which new networks get their subnets. */
  readonly networkPool?: NetworkPool | undefined;
  /** Networks with more hosts than this use static forwarding entries instead of flooding. */
  readonly floodLimit?: number | undefined;
}

export interface LeaderOptions extends LeaderSettings {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly probe: Probe;
  readonly logger: Logger;
  readonly observer: LeaderObserver;
  /** Advertised address of this server. */
  readonly address: string;
  /** Returns the addresses of all running servers. */
  readonly servers: () => readonly string[];
  /** Called with the leader once the records are loaded, and with undefined when the term ends. */
  readonly onLeaderChange: (leader: Leader | undefined) => void;
}

/**
 * Runs one term as the leader: loads all records, serves calls, and reconciles until the term is lost or `signal`
 * aborts. When it returns, everything that it started has stopped.
 * @throws the error of the first part that failed; its failure ends the term
 */
export async function runTerm(term: Term, options: LeaderOptions, signal: AbortSignal): Promise<void> {
  const { store, logger } = options;
  const ended = new AbortController();
  const end = (cause: unknown): void => {
    ended.abort(isBerthError(cause) ? cause : notLeader({ reason: "its term ended", cause }));
  };
  const removeListeners = [term.lost, signal].map((parent) => onAbort(parent, () => end(parent.reason)));
  try {
    const state = new ClusterState((error) => logger.error({ err: error }, "state listener failed"));
    const sync = new StateSync({ store, clock: options.runtime.clock, state, logger }, ended.signal);
    if (!(await sync.load())) return;
    logger.info(
      { services: state.services.size, tasks: state.tasks.size, nodes: state.nodes.size },
      "loaded all records",
    );
    const runtime = termRuntime(options.runtime, state);
    const { leader, loops } = createLeader({ ...options, runtime, term, state, sync }, ended.signal);
    options.onLeaderChange(leader);
    await runUntilFirstFailure(loops, end, ended.signal);
  } finally {
    end("the leader stopped");
    for (const removeListener of removeListeners) removeListener();
    options.onLeaderChange(undefined);
  }
}

interface LeaderParts extends LeaderOptions {
  readonly term: Term;
  /** All records, loaded. */
  readonly state: ClusterState;
  readonly sync: StateSync;
}

type Loop = (signal: AbortSignal) => Promise<void>;

/** Creates the parts of a leader in the order of their dependencies. The caller runs `loops` during the term. */
function createLeader(
  options: LeaderParts,
  signal: AbortSignal,
): { readonly leader: Leader; readonly loops: readonly Loop[] } {
  const { term, state, sync, store, runtime, probe, logger, observer, address, servers } = options;
  const { autoRebalanceMs, moveEtcdLeader } = options;
  const { clock } = runtime;
  const { epoch } = term;

  // The writer, and the controller that reconciles services.
  const events = new EventLog({ state, runtime, epoch, address, signal });
  const writer = new Writer({ store, state, fence: fence(term), clock, logger, observer });
  const shared = { state, writer, runtime, logger, signal };
  const controller = new Controller({ ...shared, observer });

  // Agents and the health of their nodes.
  const sessions = new SessionRegistry(logger);
  const lag = new LagMeter(clock);
  const suspicionChanged = new Emitter<string>((error) =>
    logger.error({ err: error }, "node suspicion listener failed"),
  );
  const nodeHealth = new NodeHealthMonitor({
    ...shared,
    lag,
    probe,
    observer,
    sendProbeRequest: (nodeId, value) => sessions.send(nodeId, { $case: "probe", value }),
    onSuspicion: (nodeId) => suspicionChanged.emit(nodeId),
    onHeartbeatInterval: (heartbeatMs) =>
      sessions.broadcast({ $case: "heartbeatInterval", value: { heartbeatMs } }),
  });

  // The traffic tables.
  const isSuspect = (nodeId: string): boolean => nodeHealth.isSuspect(nodeId);
  const floodLimit = options.floodLimit ?? DEFAULT_FLOOD_LIMIT;
  const entries = createTrafficEntrySource({ state, isSuspect, floodLimit });
  const tables = new TrafficTables({ state, clock, logger, signal, ...entries });
  suspicionChanged.on((nodeId) => {
    tables.markNodeStale(nodeId);
    events.recordSuspicion(nodeId, isSuspect(nodeId));
  });

  // Serving agents.
  const autoscaler = new Autoscaler({
    ...shared,
    onUsageRequest: (value) => sessions.broadcast({ $case: "measureUsage", value }),
  });
  const trafficCollector = new TrafficCollector({ runtime, sessionOf: (nodeId) => sessions.get(nodeId) });
  const dispatcher = new Dispatcher({
    ...shared,
    sessions,
    epoch,
    servers,
    tables,
    hasStaticFdb: entries.hasStaticFdb,
    statusWriter: new StatusWriter(shared),
    nodeHealth,
    autoscaler,
    trafficCollector,
  });
  // The session of a dead host can stay open for minutes, so requests to down nodes fail at once.
  const sessionOf = (nodeId: string): Session | undefined =>
    state.nodes.get(nodeId)?.state === NodeState.READY ? sessions.get(nodeId) : undefined;
  const logs = new LogRelay({ runtime, sessionOf });
  const execs = new ExecRelay({ runtime, sessionOf });
  const stats = new StatsRelay({ runtime, sessionOf, signal });
  state.onChange(({ nodes }) => {
    for (const [nodeId, { after }] of nodes) {
      if (after?.state === NodeState.READY) continue;
      logs.onNodeDown(nodeId);
      execs.onNodeDown(nodeId);
    }
  });

  // Serving the command line and Prometheus.
  const networkPool = options.networkPool ?? DEFAULT_NETWORK_POOL;
  const control = controlHandlers({
    ...shared,
    ingress: tables.ingress,
    logs,
    stats,
    trafficCollector,
    execs,
    events,
    networkPool,
    epoch,
    address,
    servers,
  });
  const metrics = {
    state,
    sessionCount: () => sessions.size,
    workQueueDepth: () => controller.depth,
    writeQueueDepth: () => writer.depth,
    eventLoopLagMs: () => lag.lagMs(),
    surveyTraffic: () => surveyTraffic({ state, trafficCollector, tableVersion: tables.version }),
  };

  const loops: Loop[] = [
    (loopSignal) => writer.run(loopSignal),
    (loopSignal) => controller.run(loopSignal),
    (loopSignal) => autoscaler.run(loopSignal),
    (loopSignal) => lag.run(loopSignal),
    () => sync.run(writer),
    (loopSignal) => removeUnusedNetworks(shared, loopSignal),
  ];
  if (moveEtcdLeader !== undefined) {
    loops.push((loopSignal) => keepEtcdLeaderLocal({ moveEtcdLeader, clock, logger }, loopSignal));
  }
  if (autoRebalanceMs !== undefined) {
    loops.push((loopSignal) => autoRebalance({ ...shared, afterMs: autoRebalanceMs }, loopSignal));
  }
  const dispatcherService = dispatcherHandlers({ dispatcher, execs, stats, logs });
  return { leader: { control, dispatcher: dispatcherService, metrics }, loops };
}

/** Returns the runtime of one term. Its wall clock never returns a time before the latest record. */
function termRuntime(runtime: Runtime, state: ClusterState): Runtime {
  return {
    clock: runtime.clock,
    wallClockMs: steadyTime(runtime, latestRecordedMs(state)),
    random: () => runtime.random(),
    newId: () => runtime.newId(),
  };
}

/** Runs all loops until they return. A loop that fails ends the term, which stops the others. @throws its error */
async function runUntilFirstFailure(
  loops: readonly Loop[],
  end: (cause: unknown) => void,
  signal: AbortSignal,
): Promise<void> {
  const results = await Promise.allSettled(
    loops.map(async (loop) => {
      try {
        await loop(signal);
      } catch (error) {
        // Errors after the end of the term are its consequence.
        if (signal.aborted) return;
        end(error);
        throw error;
      }
    }),
  );
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
