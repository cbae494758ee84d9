import { type ClusterEvent, DesiredState, Health, NodeState, TaskState } from "@berth/proto";
import * as fc from "fast-check";
import { pino } from "pino";
import { expect, test } from "vitest";
import { buildNode, buildService, buildTask } from "../../core/testing/records.js";
import { systemClock } from "../../runtime/clock.js";
import { systemRuntime } from "../../runtime/runtime.js";
import { type Change, changeKey, encodeValue } from "../../state/change.js";
import { ClusterState } from "../../state/cluster-state.js";
import { MemoryStore } from "../../testing/memory-store/memory-store.js";
import { EventLog } from "../events/event-log.js";
import { EventReplay } from "./event-replay.js";
import { MissedEvents } from "./missed-events.js";

const { signal } = new AbortController();
const logger = pino({ level: "silent" });

const anyId = fc.constantFrom("a", "b", "c");
const anyChange: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ id: anyId, state: fc.constantFrom(NodeState.READY, NodeState.DOWN) }).map(
    ({ id, state }): Change => ({
      kind: "put-node",
      node: buildNode({ id, state, stateMessage: "changed" }),
    }),
  ),
  anyId.map((nodeId): Change => ({ kind: "delete-node", nodeId })),
  fc.record({ id: anyId, version: fc.integer({ min: 1, max: 3 }) }).map(
    ({ id, version }): Change => ({
      kind: "put-service",
      service: buildService({ id, version }),
    }),
  ),
  anyId.map((serviceId): Change => ({ kind: "delete-service", serviceId })),
  fc
    .record({
      id: anyId,
      state: fc.constantFrom(TaskState.NEW, TaskState.STARTING, TaskState.RUNNING, TaskState.FAILED),
      health: fc.constantFrom(Health.HEALTHY, Health.UNHEALTHY),
      desiredState: fc.constantFrom(DesiredState.RUNNING, DesiredState.SHUTDOWN),
    })
    .map(
      ({ id, state, health, desiredState }): Change => ({
        kind: "put-task",
        task: buildTask({ id, desiredState, status: { state, health } }),
      }),
    ),
  anyId.map((taskId): Change => ({ kind: "delete-task", serviceId: "s1", taskId })),
);

/** The changes of a transaction, with one change of each record. */
const anyTransaction = fc.uniqueArray(anyChange, { minLength: 1, maxLength: 4, selector: changeKey });

/** A leader whose state follows the store. */
function startLeader(
  epoch: bigint,
  state = new ClusterState(),
): { readonly state: ClusterState; readonly log: EventLog } {
  return { state, log: new EventLog({ state, runtime: systemRuntime, epoch, address: "s1:7400", signal }) };
}

async function commit(store: MemoryStore, changes: readonly Change[]): Promise<bigint> {
  const ops = changes.map((change) => {
    const value = encodeValue(change);
    const key = changeKey(change);
    return value === undefined ? ({ kind: "delete", key } as const) : ({ kind: "put", key, value } as const);
  });
  const outcome = await store.txn({ ops }, signal);
  if (outcome.kind !== "committed") throw new Error("the transaction was not committed");
  return outcome.revision;
}

function eventsOf(log: EventLog): readonly ClusterEvent[] {
  const events = Array.from({ length: log.lastSequence }, (_, index) => log.get(index + 1));
  return events.flatMap((event) => (event === undefined || event.revision === 0 ? [] : [event]));
}

/** The parts of an event that do not depend on the leader. */
const identify = ({ revision, reason, serviceId, taskId, nodeId, message }: ClusterEvent): string =>
  [revision, reason, serviceId, taskId, nodeId, message].join(" ");

test("EventReplay derives the events that an earlier leader has derived, from each revision on (property)", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyTransaction, { minLength: 1, maxLength: 10 }), async (transactions) => {
      const store = new MemoryStore({ clock: systemClock });
      const { state, log } = startLeader(1n);
      const revisions: bigint[] = [0n];
      for (const changes of transactions) {
        const revision = await commit(store, changes);
        state.apply(changes.map((change) => ({ change, revision })));
        revisions.push(revision);
      }
      const untilRevision = state.revisions.latest;
      const replay = new EventReplay({ store, state, clock: systemClock, logger, epoch: 2n, untilRevision });
      for (const revision of revisions.slice(1)) {
        const expected = eventsOf(log).filter((event) => event.revision > revision);
        const replayed = await replay.since(revision, signal);
        // Hostnames are those of the nodes that still exist, so messages with them can differ.
        expect(replayed?.map(identify)).toEqual(expected.map(identify));
      }
    }),
    { numRuns: 50 },
  );
});

test("EventReplay says that events are missing when etcd has compacted the changes", async () => {
  const store = new MemoryStore({ clock: systemClock, keptRevisions: 2 });
  const { state } = startLeader(1n);
  let revision = 0n;
  for (let count = 0; count < 10; count += 1) {
    revision = await commit(store, [{ kind: "put-node", node: buildNode({ id: "a", stateSinceMs: count }) }]);
  }
  state.apply([{ change: { kind: "put-node", node: buildNode({ id: "a" }) }, revision }]);
  const replay = new EventReplay({
    store,
    state,
    clock: systemClock,
    logger,
    epoch: 2n,
    untilRevision: revision,
  });
  expect(await replay.since(1n, signal)).toBeUndefined();
  const { log } = startLeader(2n, state);
  const position = { epoch: 1, sequence: 3, revision: 1, eventSequence: 5 };
  const missed = await new MissedEvents({ events: log, replay }).since(position, { pastEvents: 0, signal });
  expect(missed(log.lastSequence)).toMatchObject({
    areEventsMissing: true,
    events: [{ reason: "LEADER_ELECTED" }],
  });
});

test("MissedEvents leaves out events that the watcher got from a leader that had not noticed its end", async () => {
  const { state, log } = startLeader(2n);
  for (const [index, nodeState] of [NodeState.READY, NodeState.DOWN].entries()) {
    const change: Change = { kind: "put-node", node: buildNode({ id: "a", state: nodeState }) };
    state.apply([{ change, revision: BigInt(10 + index) }]);
  }
  const missedEvents = new MissedEvents({ events: log, replay: { since: async () => [] } });
  const position = { epoch: 1, sequence: 3, revision: 10, eventSequence: 5 };
  const missed = await missedEvents.since(position, { pastEvents: 0, signal });
  const { events } = missed(log.lastSequence);
  expect(events.map(({ reason }) => reason)).toEqual(["LEADER_ELECTED", "NODE_DOWN"]);
  const resumed = { epoch: 2, sequence: 3, revision: 10, eventSequence: 2 };
  const later = await missedEvents.since(resumed, { pastEvents: 0, signal });
  expect(later(log.lastSequence).events.map(({ sequence }) => sequence)).toEqual([3, 4]);
});
