import { NodeState } from "@berth/proto";
import { pino } from "pino";
import { buildNode } from "../core/testing/records.js";
import { Writer } from "../reconciler/writer.js";
import { ClusterState } from "../state/cluster-state.js";
import { LEADER_KEY } from "../store/keys.js";
import { ManualClock } from "../testing/manual-clock.js";
import { MemoryStore } from "../testing/memory-store/memory-store.js";
import { LagMeter } from "./lag-meter.js";
import { NodeHealthMonitor, type NodeHealthMonitorOptions } from "./node-health-monitor.js";

const logger = pino({ level: "silent" });
const never = new AbortController().signal;

/** The callbacks that a test provides. */
export type NodeHealthCallbacks = Pick<
  NodeHealthMonitorOptions,
  "probe" | "sendProbeRequest" | "onSuspicion" | "onHeartbeatInterval" | "observer"
>;

export interface NodeHealthRig {
  readonly clock: ManualClock;
  readonly store: MemoryStore;
  readonly state: ClusterState;
  /** Adds nodes, each on a separate host, or all on `host`. */
  addNodes(nodeIds: readonly string[], host?: string): Promise<void>;
  /** Starts the term of the leader. */
  lead(callbacks: NodeHealthCallbacks): NodeHealthMonitor;
  close(): Promise<void>;
}

/** Starts a cluster in virtual time for tests of failure detection. The address of a node is its ID. */
export async function startNodeHealthRig(nodeIds: readonly string[]): Promise<NodeHealthRig> {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  const state = new ClusterState();
  const ended = new AbortController();
  const { signal } = ended;
  const outcome = await store.txn({ ops: [{ kind: "put", key: LEADER_KEY, value: "" }] }, never);
  const revision = outcome.kind === "committed" ? outcome.revision : 0n;
  const writer = new Writer({
    store,
    state,
    fence: { kind: "created-at", key: LEADER_KEY, revision },
    clock,
    logger,
    observer: { onTransaction: () => {} },
  });
  const lag = new LagMeter(clock);
  const parts = [writer.run(signal), lag.run(signal)];
  let ids = 0;
  const runtime = { clock, wallClockMs: () => clock.nowMs(), random: () => 0, newId: () => `id${++ids}` };
  const rig: NodeHealthRig = {
    clock,
    store,
    state,
    addNodes: async (added, host) => {
      const createdAtMs = clock.nowMs();
      const changes = added.map((id) => {
        const description = { hostname: host ?? id, address: host ?? id };
        const node = buildNode({ id, state: NodeState.READY, description, createdAtMs });
        return { kind: "put-node" as const, node };
      });
      const written = writer.submit(() => ({ changes, result: undefined }), never);
      await clock.advance(0);
      await written;
    },
    lead: (callbacks) => new NodeHealthMonitor({ ...callbacks, state, writer, runtime, lag, logger, signal }),
    close: async () => {
      ended.abort(new Error("the test is over"));
      await Promise.all(parts);
      store.close();
    },
  };
  await rig.addNodes(nodeIds);
  return rig;
}
