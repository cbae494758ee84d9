import {
  BerthError,
  type ControlServiceService,
  type DnsEntry,
  isBerthError,
  NodeState,
  type ProbeRequest,
} from "@berth/proto";
import type { Probe } from "@berth/proto/probe";
import type { RpcHandlers } from "@berth/proto/rpc";
import type { Logger } from "pino";
import { controlHandlers } from "../api/control-service.js";
import { EventLog } from "../api/events/event-log.js";
import { DEFAULT_NETWORK_POOL, type NetworkPool } from "../core/allocator/address-pool.js";
import {
  DEFAULT_FLOOD_LIMIT,
  type DnsSources,
  dnsEntries,
  hasStaticFdb as isNetworkListed,
} from "../core/allocator/dns-entries.js";
import { ingressEntries } from "../core/endpoints/ingress-entries.js";
import { Dispatcher } from "../dispatcher/dispatcher.js";
import { ExecRelay } from "../dispatcher/relays/exec-relay.js";
import { LogRelay } from "../dispatcher/relays/log-relay.js";
import { StatsRelay } from "../dispatcher/relays/stats-relay.js";
import { TrafficCollector } from "../dispatcher/relays/traffic-collector.js";
import type { Session } from "../dispatcher/session.js";
import { StatusWriter } from "../dispatcher/status-writer.js";
import { TrafficTables } from "../dispatcher/traffic-tables.js";
import { LagMeter } from "../node-health/lag-meter.js";
import { NodeHealthMonitor, type NodeHealthObserver } from "../node-health/node-health-monitor.js";
import { Autoscaler } from "../reconciler/autoscale/autoscaler.js";
import { Controller, type ControllerObserver } from "../reconciler/controller.js";
import { removeUnusedNetworks } from "../reconciler/networks/network-removal.js";
import { autoRebalance } from "../reconciler/rebalance/rebalancer.js";
import { Writer, type WriterObserver } from "../reconciler/writer.js";
import { onAbort } from "../runtime/abort.js";
import type { Runtime } from "../runtime/runtime.js";
import { latestRecordedMs, steadyTime } from "../runtime/steady-time.js";
import { ClusterState } from "../state/cluster-state.js";
import { serviceSnapshot } from "../state/service-snapshot.js";
import { StateSync } from "../state/state-sync.js";
import { fence, type Term } from "../store/election.js";
import type { Store } from "../store/store.js";
import { keepEtcdLeaderLocal } from "./move-etcd-leader.js";

/** What a leader reports of its work. */
export type LeaderObserver = WriterObserver & ControllerObserver & NodeHealthObserver;

export interface LeadershipOptions {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly probe: Probe;
  readonly logger: Logger;
  readonly observer: LeaderObserver;
  /** Where agents and people reach this server. */
  readonly address: string;
  /** Addresses of all servers, now. */
  readonly servers: () => readonly string[];
  /** Tasks move onto a node that came back once it was up for so long; undefined: only when somebody asks. */
  readonly autoRebalanceMs?: number | undefined;
  /** Moves the lead of the store to this host; absent: it stays where it is. */
  readonly moveEtcdLeader?: ((signal: AbortSignal) => Promise<boolean>) | undefined;
  /** Where networks over hosts get their addresses. */
  readonly networkPool?: NetworkPool | undefined;
  /** Hosts that a network may have before they are told where its containers are. */
  readonly floodLimit?: number | undefined;
}

/** Everything that exists only while this server leads. */
export interface Leadership {
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly controller: Controller;
  readonly autoscaler: Autoscaler;
  readonly dispatcher: Dispatcher;
  readonly logs: LogRelay;
  readonly stats: StatsRelay;
  readonly execs: ExecRelay;
  readonly control: RpcHandlers<typeof ControlServiceService>;
  readonly lag: LagMeter;
  readonly trafficCollector: TrafficCollector;
  /** Of the table of who takes connections: it grows with each change. */
  tableVersion(): number;
}

/**
 * Leads for one term: reads everything, calls `serve`, and works until the term is lost or `signal` aborts. Everything
 * that it started has stopped when it returns.
 * @throws what made a part of it fail
 */
export async function lead(
  term: Term,
  options: LeadershipOptions & { readonly serve: (leadership: Leadership | undefined) => void },
  signal: AbortSignal,
): Promise<void> {
  const over = new AbortController();
  const end = (reason: unknown): void => over.abort(notLeading(reason));
  const forget = [term.lost, signal].map((each) => onAbort(each, () => end(each.reason)));
  try {
    await work(term, options, over);
  } finally {
    end("the term is over");
    for (const stop of forget) stop();
    options.serve(undefined);
  }
}

async function work(
  term: Term,
  options: LeadershipOptions & { readonly serve: (leadership: Leadership | undefined) => void },
  over: AbortController,
): Promise<void> {
  const { store, logger, autoRebalanceMs, moveEtcdLeader: bringHome } = options;
  const { signal } = over;
  const state = new ClusterState();
  const mirror = new StateSync({ store, clock: options.runtime.clock, state, logger }, signal);
  if (!(await mirror.load())) return;
  const runtime = steadied(options.runtime, state);
  const leadership = assemble(state, term, { ...options, runtime }, signal);
  logger.info(
    { services: state.services.size, tasks: state.tasks.size, nodes: state.nodes.size },
    "loaded the cluster's records",
  );
  options.serve(leadership);
  const parts = [
    leadership.writer.run(signal),
    leadership.controller.run(signal),
    leadership.autoscaler.run(signal),
    leadership.lag.run(signal),
    mirror.run(leadership.writer),
    removeUnusedNetworks({ ...leadership, runtime, logger }, signal),
    ...(bringHome === undefined
      ? []
      : [keepEtcdLeaderLocal({ moveEtcdLeader: bringHome, clock: runtime.clock, logger }, signal)]),
    ...(autoRebalanceMs === undefined
      ? []
      : [autoRebalance({ ...leadership, runtime, logger, afterMs: autoRebalanceMs }, signal)]),
  ];
  // A part that fails ends the term, and with it the others.
  const ends = await Promise.allSettled(parts.map((part) => untilFailed(part, over)));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}

/** The runtime of one term: its time goes on from where the records end. */
function steadied(runtime: Runtime, state: ClusterState): Runtime {
  return {
    clock: runtime.clock,
    now: steadyTime(runtime, latestRecordedMs(state)),
    random: () => runtime.random(),
    newId: () => runtime.newId(),
  };
}

async function untilFailed(part: Promise<void>, over: AbortController): Promise<void> {
  try {
    await part;
  } catch (error) {
    // What fails because the term is over has not failed.
    if (over.signal.aborted) return;
    over.abort(notLeading(error));
    throw error;
  }
}

function assemble(
  state: ClusterState,
  term: Term,
  options: LeadershipOptions,
  signal: AbortSignal,
): Leadership {
  const { store, runtime, probe, logger, observer, address, servers } = options;
  const { clock } = runtime;
  const lag = new LagMeter(clock);
  const events = new EventLog({ state, runtime, epoch: term.epoch, address, signal });
  const writer = new Writer({ store, state, fence: fence(term), clock, logger, observer });
  const sessionOf = (nodeId: string): Session | undefined => dispatcher.sessionOf(nodeId);
  const liveness = new NodeHealthMonitor({
    state,
    writer,
    runtime,
    lag,
    probe,
    logger,
    observer,
    signal,
    ask: (peerId, request) => ask(sessionOf(peerId), request),
    onSuspicion: (nodeId) => {
      traffic.nodeChanged(nodeId);
      events.suspicion(nodeId, liveness.isSuspect(nodeId));
    },
    onHeartbeatInterval: (heartbeatMs) =>
      dispatcher.broadcast({ $case: "heartbeatInterval", value: { heartbeatMs } }),
  });
  const intake = new StatusWriter({ state, writer, runtime, logger, signal });
  const isSuspect = (nodeId: string): boolean => liveness.isSuspect(nodeId);
  const isListed = (networkId: string): boolean => {
    const network = state.networks.get(networkId);
    const hosts = state.networks.ranges.ofFirst(networkId).size;
    return (
      network !== undefined && isNetworkListed(network, hosts, options.floodLimit ?? DEFAULT_FLOOD_LIMIT)
    );
  };
  const traffic = new TrafficTables({
    state,
    clock,
    logger,
    signal,
    ingressEntriesOf: (serviceId) => entriesOf(serviceId, state, isSuspect),
    dnsEntriesOf: (serviceId) => namesOf(serviceId, state, { isSuspect, hasStaticFdb: isListed }),
    hasStaticFdb: isListed,
  });
  const { epoch } = term;
  const autoscaler = new Autoscaler({
    state,
    writer,
    runtime,
    logger,
    signal,
    onWatch: (value) => dispatcher.broadcast({ $case: "measureUsage", value }),
  });
  const trafficCollector = new TrafficCollector({ runtime, sessionOf });
  const dispatcher: Dispatcher = new Dispatcher({
    epoch,
    servers,
    state,
    writer,
    tables: traffic,
    hasStaticFdb: isListed,
    statusWriter: intake,
    runtime,
    logger,
    signal,
    liveness,
    autoscaler,
    trafficCollector,
  });
  // The connection of a dead host lingers: nobody is to wait for it.
  const liveSessionOf = (nodeId: string): Session | undefined =>
    state.nodes.get(nodeId)?.state === NodeState.READY ? sessionOf(nodeId) : undefined;
  const logs = new LogRelay({ runtime, sessionOf: liveSessionOf });
  const execs = new ExecRelay({ runtime, sessionOf: liveSessionOf });
  const stats = new StatsRelay({ runtime, sessionOf: liveSessionOf, signal });
  state.onChange(({ nodes }) => {
    for (const [nodeId, { after }] of nodes) {
      if (after?.state === NodeState.READY) continue;
      logs.nodeDown(nodeId);
      execs.nodeDown(nodeId);
    }
  });
  const controller = new Controller({ state, writer, runtime, logger, observer });
  const control = controlHandlers({
    state,
    writer,
    runtime,
    ingress: traffic.ingress,
    logs,
    stats,
    trafficCollector,
    execs,
    events,
    networkPool: options.networkPool ?? DEFAULT_NETWORK_POOL,
    epoch,
    address,
    servers,
    signal,
  });
  const tableVersion = (): number => traffic.version;
  const parts = { state, writer, controller, autoscaler, dispatcher, logs, stats, execs };
  return { ...parts, control, lag, trafficCollector, tableVersion };
}

function ask(session: Session | undefined, value: ProbeRequest): boolean {
  session?.send({ $case: "probe", value });
  return session !== undefined;
}

/** A service that is being removed gives its ports back at once. */
function entriesOf(
  serviceId: string,
  state: ClusterState,
  isSuspect: (nodeId: string) => boolean,
): ReturnType<typeof ingressEntries> {
  const view = serviceSnapshot(state, serviceId);
  if (view === undefined || view.service.removing) return [];
  const { nodes } = state.nodes;
  return ingressEntries(view, { nodes, isSuspect });
}

/** Names stay until a service's last task is gone: it may be what the others of its stack still need. */
function namesOf(
  serviceId: string,
  state: ClusterState,
  { isSuspect, hasStaticFdb: isListed }: Pick<DnsSources, "isSuspect" | "hasStaticFdb">,
): readonly DnsEntry[] {
  const view = serviceSnapshot(state, serviceId);
  if (view === undefined) return [];
  const { networks } = state;
  return dnsEntries(view, {
    nodes: state.nodes.nodes,
    isSuspect,
    hasStaticFdb: isListed,
    networkIdOf: (name) => networks.idOf(name),
    virtualIpIn: (networkId) => {
      const vip = networks.vips.get(networkId, serviceId);
      return vip?.releasedAtMs === 0 ? vip.address : "";
    },
  });
}

function notLeading(reason: unknown): BerthError {
  if (isBerthError(reason)) return reason;
  return new BerthError({
    code: "BERTH_NOT_LEADER",
    message: "This server does not lead any more. Ask again.",
    cause: reason,
  });
}
