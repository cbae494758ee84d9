import type { Logger } from "pino";
import type { SchemaControl } from "../api/servers/finalize-upgrade.js";
import type { Writer } from "../reconciler/writer.js";
import type { Runtime } from "../runtime/runtime.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { StateSync } from "../state/state-sync.js";
import type { Term } from "../store/election.js";
import type { LeaderOptions } from "./leader-options.js";

/** The options of a leader for one term. */
export interface TermOptions extends LeaderOptions {
  readonly term: Term;
  /** All records, loaded. */
  readonly state: ClusterState;
  readonly sync: StateSync;
  readonly schemaControl: SchemaControl;
}

/** The dependencies that most components of a leader share. They live for one term. */
export interface TermContext {
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** Aborts when the term ends. */
  readonly signal: AbortSignal;
}
