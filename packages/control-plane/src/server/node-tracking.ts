import { DEFAULT_FLOOD_LIMIT } from "../core/allocator/dns-entries.js";
import type { SessionRegistry } from "../dispatcher/session-registry.js";
import { createTrafficEntrySource } from "../dispatcher/traffic-entry-source.js";
import { TrafficTables } from "../dispatcher/traffic-tables.js";
import { LagMeter } from "../node-health/lag-meter.js";
import { NodeHealthMonitor } from "../node-health/node-health-monitor.js";
import { Emitter } from "../runtime/emitter.js";
import type { TermContext, TermOptions } from "./term-context.js";

/** The components that determine which nodes respond, and where connections go. */
export interface NodeTracking {
  readonly lag: LagMeter;
  readonly nodeHealth: NodeHealthMonitor;
  readonly isSuspect: (nodeId: string) => boolean;
  /** Calls the listener when a node becomes suspect or is trusted again. The returned function removes the listener. */
  readonly onSuspicion: (listener: (nodeId: string) => void) => () => void;
  readonly tables: TrafficTables;
  /** Returns whether the hosts of a network get static forwarding entries. */
  readonly hasStaticFdb: (networkId: string) => boolean;
}

export function createNodeTracking(
  context: TermContext,
  { probe, observer, floodLimit = DEFAULT_FLOOD_LIMIT }: TermOptions,
  sessions: SessionRegistry,
): NodeTracking {
  const { state, runtime, logger, signal } = context;
  const { clock } = runtime;
  const lag = new LagMeter(clock);
  const suspicionChanged = new Emitter<string>((error) =>
    logger.error({ err: error }, "node suspicion listener failed"),
  );
  const nodeHealth = new NodeHealthMonitor({
    ...context,
    lag,
    probe,
    observer,
    sendProbeRequest: (nodeId, value) => sessions.send(nodeId, { $case: "probe", value }),
    onSuspicion: (nodeId) => suspicionChanged.emit(nodeId),
    onHeartbeatInterval: (heartbeatMs) =>
      sessions.broadcast({ $case: "heartbeatInterval", value: { heartbeatMs } }),
  });
  const isSuspect = (nodeId: string): boolean => nodeHealth.isSuspect(nodeId);
  const entrySource = createTrafficEntrySource({ state, isSuspect, floodLimit });
  const tables = new TrafficTables({ state, clock, logger, signal, ...entrySource });
  suspicionChanged.on((nodeId) => tables.markNodeStale(nodeId));
  return {
    lag,
    nodeHealth,
    isSuspect,
    onSuspicion: (listener) => suspicionChanged.on(listener),
    tables,
    hasStaticFdb: entrySource.hasStaticFdb,
  };
}
