import {
  type ClusterEvent,
  type Node,
  NodeState,
  StreamEventsRequest,
  type Task,
  TaskState,
} from "@berth/proto";
import { afterAll, beforeEach, expect, test } from "vitest";
import { buildNode, buildService, buildTask } from "../../core/testing/records.js";
import { systemRuntime } from "../../runtime/runtime.js";
import type { Change } from "../../state/change.js";
import { ClusterState } from "../../state/cluster-state.js";
import { EventLog } from "./event-log.js";
import { streamEvents } from "./stream-events.js";

const ended = new AbortController();
afterAll(() => ended.abort());

let state: ClusterState;
let revision: bigint;
beforeEach(() => {
  state = new ClusterState();
  revision = 0n;
});

function apply(...changes: readonly Change[]): void {
  revision += 1n;
  state.apply(changes.map((change) => ({ change, revision })));
}

const putTask = (task: Task): Change => ({ kind: "put-task", task });
const putNode = (node: Node): Change => ({ kind: "put-node", node });

function newLog(): EventLog {
  return new EventLog({ state, runtime: systemRuntime, epoch: 7n, address: "s1:7400", signal: ended.signal });
}

async function read(
  log: EventLog,
  request: Parameters<typeof StreamEventsRequest.fromPartial>[0] = {},
): Promise<{ events: readonly ClusterEvent[]; warnings: readonly string[] }> {
  const { signal } = ended;
  const events: ClusterEvent[] = [];
  const warnings: string[] = [];
  const scope = { events: log, state, signal };
  for await (const { message } of streamEvents(StreamEventsRequest.fromPartial(request), scope, signal)) {
    if (message?.$case === "event") events.push(message.value);
    if (message?.$case === "warning") warnings.push(message.value);
  }
  return { events, warnings };
}

test("EventLog starts with events reconstructed from the records and appends new events", async () => {
  apply(
    putNode(buildNode({ id: "n1", state: NodeState.READY, stateSinceMs: 5 })),
    putTask(buildTask({ id: "t1", status: { state: TaskState.FAILED, message: "exit code 1", sinceMs: 9 } })),
  );
  const log = newLog();
  apply({ kind: "put-service", service: buildService() });
  log.recordSuspicion("n1", true);
  const { events } = await read(log);
  expect(
    events.map(({ reason, isReconstructed }) => `${reason}${isReconstructed ? " (rebuilt)" : ""}`),
  ).toEqual([
    "NODE_READY (rebuilt)",
    "TASK_FAILED (rebuilt)",
    "LEADER_ELECTED",
    "SERVICE_CREATED",
    "NODE_SUSPECT",
  ]);
  expect(events.map(({ sequence }) => sequence)).toEqual([0, 0, 1, 2, 3]);
  expect(events[1]).toMatchObject({ timeMs: 9, message: "exit code 1", epoch: 7 });
});

test("EventLog keeps the newest events and tells a slow reader how many it missed", async () => {
  const log = newLog();
  const task = (message: string): Change =>
    putTask(buildTask({ nodeId: "", status: { state: TaskState.NEW, message } }));
  for (let i = 0; i < 12_000; i++) apply(task(`no room ${i}`));
  expect(log.lastSequence - log.firstSequence + 1).toBe(10_000);
  const { events, warnings } = await read(log, { afterEpoch: 7, afterSequence: 1 });
  expect(warnings).toEqual([expect.stringMatching(/^2000 events are missing/)]);
  expect(events).toHaveLength(10_000);
  expect(events.at(-1)?.message).toBe("no room 11999");
  expect((await read(log, { afterEpoch: 7, afterSequence: log.lastSequence })).events).toEqual([]);
});

test("streamEvents() warns about a service or node that does not exist", async () => {
  const { warnings } = await read(newLog(), { service: "shop_wed", node: "n9" });
  expect(warnings).toEqual(['no such service: "shop_wed"', 'no such node: "n9"']);
});

test("EventLog adds no service event when only the service's tasks changed", async () => {
  apply({ kind: "put-service", service: buildService() });
  const log = newLog();
  apply(putTask(buildTask({ status: { state: TaskState.ASSIGNED } })));
  const { events } = await read(log);
  expect(events.map(({ reason }) => reason)).toEqual(["LEADER_ELECTED", "TASK_PLACED"]);
});

test("EventLog records no end of the suspicion of a node that is down", async () => {
  apply(putNode(buildNode({ id: "n1", state: NodeState.READY })));
  const log = newLog();
  log.recordSuspicion("n1", true);
  apply(putNode(buildNode({ id: "n1", state: NodeState.DOWN })));
  log.recordSuspicion("n1", false);
  apply(putNode(buildNode({ id: "n1", state: NodeState.READY })));
  log.recordSuspicion("n1", true);
  log.recordSuspicion("n1", false);
  const { events } = await read(log);
  const suspicions = events.map(({ reason }) => reason).filter((reason) => /SUSPECT|CLEARED/.test(reason));
  expect(suspicions).toEqual(["NODE_SUSPECT", "NODE_SUSPECT", "NODE_CLEARED"]);
});
