import type { IngressEntry } from "@berth/proto";
import type { NetworkPool } from "../core/allocator/address-pool.js";
import type { ExecRelay } from "../dispatcher/relays/exec-relay.js";
import type { LogRelay } from "../dispatcher/relays/log-relay.js";
import type { StatsRelay } from "../dispatcher/relays/stats-relay.js";
import type { TrafficCollector } from "../dispatcher/relays/traffic-collector.js";
import type { EntryTable } from "../dispatcher/traffic-tables.js";
import type { Writer } from "../reconciler/writer.js";
import type { Runtime } from "../runtime/runtime.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { EventLog } from "./events/event-log.js";

/** What the calls of a leader work with, for one term. */
export interface ApiContext {
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly runtime: Runtime;
  readonly ingress: EntryTable<IngressEntry>;
  readonly logs: LogRelay;
  readonly stats: StatsRelay;
  readonly trafficCollector: TrafficCollector;
  readonly execs: ExecRelay;
  readonly events: EventLog;
  /** Where networks over hosts get their addresses. */
  readonly networkPool: NetworkPool;
  readonly epoch: bigint;
  /** Where agents and people reach this server. */
  readonly address: string;
  /** Addresses of all servers, now. */
  readonly servers: () => readonly string[];
  /** Aborts with the term. */
  readonly signal: AbortSignal;
}
