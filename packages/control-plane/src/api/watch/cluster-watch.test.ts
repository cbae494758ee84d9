import { setTimeout as sleep } from "node:timers/promises";
import { type ClusterView, TaskState, WatchClusterRequest } from "@berth/proto";
import { pino } from "pino";
import { afterEach, expect, test, vi } from "vitest";
import { buildNode, buildService, buildTask } from "../../core/testing/records.js";
import { AppliedView } from "../../core/watch/testing/applied-view.js";
import { systemRuntime } from "../../runtime/runtime.js";
import type { Change } from "../../state/change.js";
import { ClusterState } from "../../state/cluster-state.js";
import { EventLog } from "../events/event-log.js";
import { ClusterWatch } from "./cluster-watch.js";
import { MissedEvents } from "./missed-events.js";
import { TrafficWatch } from "./traffic-watch.js";
import { watchCluster } from "./watch-cluster.js";

const NO_CLUSTER: ClusterView = {
  leaderAddress: "s1:7400",
  leaderVersion: "",
  servers: [],
  voters: 0,
  runningVoters: 0,
  authorities: [],
  isRestorePending: false,
};

const ending: AbortController[] = [];
afterEach(() => {
  for (const controller of ending.splice(0)) controller.abort();
});

/** Starts a leader without a store. */
function start() {
  const ended = new AbortController();
  ending.push(ended);
  const { signal } = ended;
  const state = new ClusterState();
  let revision = 0n;
  const apply = (...changes: readonly Change[]): void => {
    revision += 1n;
    state.apply(changes.map((change) => ({ change, revision })));
  };
  const logger = pino({ level: "silent" });
  const context = { state, runtime: systemRuntime, logger, signal };
  const events = new EventLog({ ...context, epoch: 7n, address: "s1:7400" });
  const clusterWatch = new ClusterWatch({
    ...context,
    writer: { untilIdle: async () => {} },
    events,
    epoch: 7n,
    isSuspect: () => false,
    onSuspicion: () => () => {},
    observeCluster: () => () => NO_CLUSTER,
  });
  const missedEvents = new MissedEvents({ events, replay: { since: async () => [] } });
  const collect = async () => new Map();
  const trafficWatch = new TrafficWatch({ ...context, trafficCollector: { collect } });
  const watch = (request: Parameters<typeof WatchClusterRequest.fromPartial>[0] = {}) =>
    watchCluster(
      WatchClusterRequest.fromPartial(request),
      { ...context, clusterWatch, missedEvents, trafficWatch },
      signal,
    );
  return { apply, watch };
}

/** Applies responses until the condition holds. Returns the number of snapshots. */
async function applyUntil(
  responses: AsyncGenerator<{ readonly message?: unknown }>,
  view: AppliedView,
  isDone: () => boolean,
): Promise<number> {
  let snapshots = 0;
  while (!view.isComplete || !isDone()) {
    const { value } = await responses.next();
    const { message } = value as Awaited<
      ReturnType<ReturnType<ReturnType<typeof start>["watch"]>["next"]>
    >["value"];
    if (message?.$case !== "update") continue;
    if (message.value.isSnapshot) snapshots += 1;
    view.apply(message.value);
  }
  return snapshots;
}

const task = (index: number, state: TaskState): Change => ({
  kind: "put-task",
  task: buildTask({ id: `t${index}`, slot: index, status: { state, sinceMs: 1 } }),
});

test("watchers of a leader get the same objects, so that each update is encoded once", async () => {
  const { apply, watch } = start();
  apply({ kind: "put-node", node: buildNode() });
  const watchers = [watch(), watch()];
  for (const watcher of watchers) {
    const view = new AppliedView();
    await applyUntil(watcher, view, () => view.position !== undefined);
  }
  apply({ kind: "put-service", service: buildService() });
  const [first, second] = await Promise.all(watchers.map((watcher) => watcher.next()));
  expect(first?.value).toMatchObject({ message: { $case: "update", value: { services: [{ id: "s1" }] } } });
  expect(second?.value).toBe(first?.value);
});

test("a watcher that does not read gets a snapshot with all events once it reads again", async () => {
  const { apply, watch } = start();
  apply({ kind: "put-service", service: buildService() }, { kind: "put-node", node: buildNode() });
  const view = new AppliedView();
  const responses = watch();
  await applyUntil(responses, view, () => view.position !== undefined);
  // More records than the log of updates keeps.
  for (let batch = 0; batch < 12; batch += 1) {
    const state = batch % 2 === 0 ? TaskState.STARTING : TaskState.RUNNING;
    apply(...Array.from({ length: 2_000 }, (_, index) => task(index + 1, state)));
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  const isUpToDate = (): boolean =>
    view.tasks.size === 2_000 && [...view.tasks.values()].every(({ state }) => state === TaskState.RUNNING);
  expect(await applyUntil(responses, view, isUpToDate)).toBe(1);
  const started = view.events.filter(({ reason }) => reason === "TASK_STARTED").map(({ taskId }) => taskId);
  expect(new Set(started).size).toBe(started.length);
  expect(view.areEventsMissing).toBe(false);
  expect(started).toHaveLength(2_000);
});

test("a watcher that resumes with its leader continues with the next update", async () => {
  const { apply, watch } = start();
  const view = new AppliedView();
  const first = watch();
  await applyUntil(first, view, () => view.position !== undefined);
  await first.return(undefined);
  apply(task(1, TaskState.RUNNING));
  const snapshots = await applyUntil(watch({ after: view.position }), view, () => view.tasks.size === 1);
  expect(snapshots).toBe(0);
  expect(view.events.map(({ reason }) => reason)).toEqual(expect.arrayContaining(["TASK_STARTED"]));
});

test("a watcher that resumes learns at once that it has missed nothing", async () => {
  const { apply, watch } = start();
  apply({ kind: "put-node", node: buildNode() });
  const view = new AppliedView();
  await applyUntil(watch(), view, () => view.position !== undefined);
  const { value } = await watch({ after: view.position, hasTraffic: true }).next();
  expect(value).toMatchObject({
    message: { $case: "update", value: { isSnapshot: false, position: view.position } },
  });
});

test("a watcher of a quiet cluster gets empty updates, also while counters arrive", async () => {
  const { apply, watch } = start();
  apply({ kind: "put-node", node: buildNode() });
  const view = new AppliedView();
  const responses = watch({ hasTraffic: true });
  await applyUntil(responses, view, () => view.position !== undefined);
  const kinds: (string | undefined)[] = [];
  while (kinds.at(-1) !== "update") {
    const { value } = await responses.next();
    kinds.push(value?.message?.$case);
  }
  expect(kinds).toContain("traffic");
});

test("a view that ended before it was complete does not change the position of the next view", async () => {
  const ended = new AbortController();
  ending.push(ended);
  const { signal } = ended;
  const logger = pino({ level: "silent" });
  const state = new ClusterState();
  const { clock } = systemRuntime;
  // Views end at once when their last watcher is gone.
  const runtime = {
    ...systemRuntime,
    clock: {
      ...clock,
      nowMs: () => clock.nowMs(),
      after: (ms: number, run: () => void) => clock.after(ms % 30_000, run),
    },
  };
  const releases: (() => void)[] = [];
  const clusterWatch = new ClusterWatch({
    state,
    runtime,
    logger,
    signal,
    writer: { untilIdle: () => new Promise((resolve) => releases.push(resolve)) },
    events: new EventLog({ state, runtime, signal, epoch: 7n, address: "s1:7400" }),
    epoch: 7n,
    isSuspect: () => false,
    onSuspicion: () => () => {},
    observeCluster: () => () => NO_CLUSTER,
  });
  const first = clusterWatch.open();
  await vi.waitFor(() => expect(releases).toHaveLength(1));
  first.close();
  await sleep(20);
  const second = clusterWatch.open();
  await vi.waitFor(() => expect(releases).toHaveLength(2));
  releases[1]?.();
  await second.ready;
  const { sequence } = clusterWatch.position;
  releases[0]?.();
  await first.ready;
  expect(clusterWatch.position.sequence).toBe(sequence);
  second.close();
});
