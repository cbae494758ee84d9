import type { IngressEntry } from "@berth/proto";
import type { NetworkPool } from "../../core/network/pick.js";
import type { EventLog } from "../../loop/events.js";
import type { Runtime } from "../../loop/runtime.js";
import type { Writer } from "../../loop/writer.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { EntryTable } from "../entry-table.js";
import type { ExecRelay } from "../relays/exec-relay.js";
import type { LoadRelay } from "../relays/load-relay.js";
import type { LogRelay } from "../relays/log-relay.js";
import type { TrafficInquiry } from "../relays/traffic-inquiry.js";

/** What the calls of a leader work with, for one term. */
export interface ControlScope {
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly runtime: Runtime;
  readonly ingress: EntryTable<IngressEntry>;
  readonly logs: LogRelay;
  readonly loads: LoadRelay;
  readonly counters: TrafficInquiry;
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
