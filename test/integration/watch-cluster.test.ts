import {
  type ClusterEvent,
  ControlServiceService,
  TaskReplacement_Cause,
  TaskState,
  WatchClusterRequest,
} from "@berth/proto";
import { createRpcClient, type RpcClient } from "@berth/proto/rpc";
import { expect, test } from "vitest";
import { AppliedView } from "../../packages/control-plane/src/core/watch/testing/applied-view.js";
import { eventually } from "../harness/eventually.js";
import { converged, deployment, runningTasks, service } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

type Calls = RpcClient<typeof ControlServiceService>;

const context = useTestCluster();

/** A watcher that applies all updates, and resumes after an interruption until it is stopped. */
class Watcher {
  readonly view = new AppliedView();
  snapshots = 0;
  readonly #stopping = new AbortController();
  readonly #done: Promise<void>;

  constructor(calls: () => Calls) {
    this.#done = this.#run(calls);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#done;
  }

  async #run(calls: () => Calls): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        const request = WatchClusterRequest.fromPartial({ pastEvents: 1_000 });
        const after = this.view.position;
        for await (const { message } of calls().watchCluster({ ...request, after }, { signal })) {
          if (message?.$case !== "update") continue;
          if (message.value.isSnapshot) this.snapshots += 1;
          this.view.apply(message.value);
        }
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }
}

/** Identifies an event by what has happened, which another leader derives in the same way. */
const eventKey = ({ revision, reason, taskId, serviceId, nodeId }: ClusterEvent): string =>
  [revision, reason, serviceId, taskId, taskId === "" ? nodeId : ""].join(" ");

test("watchCluster() streams a snapshot, then the changes of nodes, services and tasks", async () => {
  const { calls } = await context.cluster.startServer();
  const [first] = await context.cluster.startAgents(["a", "b"]);
  await calls.deployStack(
    deployment([service("web", { replicas: 2, ports: [{ target: 80, published: 8080 }] })]),
  );
  await converged(calls, "shop_web");
  const watcher = new Watcher(() => calls);
  const { view } = watcher;
  await eventually("the snapshot arrives", () => view.position !== undefined);
  expect([...view.nodes.values()].map(({ hostname, tasks }) => [hostname, tasks]).sort()).toEqual([
    ["a", 1],
    ["b", 1],
  ]);
  const [web] = view.services.values();
  expect(web).toMatchObject({ name: "shop_web", desired: 2, running: 2, isConverged: true, image: "web:1" });
  expect(view.cluster?.leaderAddress).toBe(context.cluster.servers[0]?.address);
  expect(view.events.map(({ reason }) => reason)).toEqual(
    expect.arrayContaining(["SERVICE_CREATED", "TASK_PLACED", "TASK_STARTED"]),
  );

  const [task] = await runningTasks(calls, "shop_web");
  const onFirst = [...view.tasks.values()].find(({ nodeId }) => nodeId === "a");
  first?.failTask(onFirst?.id ?? "", 7);
  const replaced = await eventually("a new task is shown", () =>
    [...view.tasks.values()].find(({ replaces }) => replaces?.taskId === onFirst?.id),
  );
  expect(replaced).toMatchObject({
    serviceId: task?.serviceId,
    replaces: { cause: TaskReplacement_Cause.ENDED },
  });
  expect(replaced.replaces?.message).toContain("exit code 7");
  await eventually("the failed task has left the view", () => !view.tasks.has(onFirst?.id ?? ""));

  await calls.scaleServices({ services: [{ service: "shop_web", replicas: 3 }] });
  await eventually(
    "three tasks run in the view",
    () => [...view.tasks.values()].filter(({ state }) => state === TaskState.RUNNING).length === 3,
  );
  await calls.removeServices({ services: ["shop_web"], stack: "" });
  await eventually("the view is empty", () => view.services.size === 0 && view.tasks.size === 0);
  expect(watcher.snapshots).toBe(1);
  const keys = view.events.map(({ epoch, sequence }) => `${epoch}.${sequence}`);
  expect(new Set(keys).size).toBe(keys.length);
  await watcher.stop();
});

test("watchCluster() shows the progress of a rollout in each slot", async () => {
  const { calls } = await context.cluster.startServer();
  await context.cluster.startAgents(["a", "b"]);
  await calls.deployStack(deployment([service("web", { replicas: 2 })]));
  await converged(calls, "shop_web");
  const watcher = new Watcher(() => calls);
  const { view } = watcher;
  await eventually("the snapshot arrives", () => view.position !== undefined);
  expect(view.slots.size).toBe(0);
  const seen = new Set<string>();
  await calls.deployStack(deployment([service("web", { replicas: 2, image: "web:2" })]));
  await eventually("the slots are shown", () => {
    for (const { slot, progress } of view.slots.values()) seen.add(`${slot} ${progress}`);
    return view.slots.size === 2;
  });
  const deadlines = (): readonly number[] =>
    [...view.services.values()].map(({ rolloutDeadlineMs }) => rolloutDeadlineMs);
  await eventually("the deadline of the rollout is shown", () => (deadlines()[0] ?? 0) > Date.now());
  await converged(calls, "shop_web");
  await eventually("the slots are gone", () => view.slots.size === 0);
  const causes = [...view.tasks.values()].map(({ replaces }) => replaces?.cause);
  expect(causes).toEqual([TaskReplacement_Cause.UPDATE, TaskReplacement_Cause.UPDATE]);
  await watcher.stop();
});

test("a watcher that resumes after the leader was killed misses no event and gets none twice", async () => {
  const leader = await context.cluster.startProcess();
  const leaderClient = createRpcClient(ControlServiceService, { socket: leader.socket });
  const follower = await context.cluster.startServer();
  await eventually("a leader is elected", () => follower.calls.getCluster({}));
  const watcher = new Watcher(() => follower.calls);
  const { view } = watcher;
  await eventually("the snapshot arrives", () => view.position !== undefined);
  const epoch = view.position?.epoch;
  await context.cluster.startAgents(["a", "b"]);
  await follower.calls.deployStack(
    deployment([service("web", { replicas: 4 }), service("api", { replicas: 4 })]),
  );
  await converged(follower.calls, "shop_web");

  // The leader dies in the middle of a series of changes.
  const changes = (async () => {
    for (let replicas = 5; replicas < 25; replicas += 1) {
      const services = [{ service: "shop_web", replicas }];
      await follower.calls.scaleServices({ services }).catch(() => {});
    }
  })();
  await eventually("the changes have begun", () => view.tasks.size > 10);
  await leader.kill();
  leaderClient.close();
  await changes;
  await converged(follower.calls, "shop_web", 30_000);
  await eventually("the watcher follows the next leader", () => view.position?.epoch !== epoch);
  await eventually("all tasks run in the view", () => {
    const running = [...view.tasks.values()].filter(({ state }) => state === TaskState.RUNNING);
    return running.length === 28;
  });
  await watcher.stop();

  expect(view.areEventsMissing).toBe(false);
  const recorded = view.events.filter(({ revision }) => revision > 0);
  const keys = recorded.map(eventKey);
  expect(keys.filter((key, index) => keys.indexOf(key) !== index)).toEqual([]);
  const { tasks } = await follower.calls.listTasks({ service: "", stack: "", node: "" });
  for (const reason of ["TASK_PLACED", "TASK_STARTED"]) {
    const ofTasks = recorded.filter((event) => event.reason === reason).map(({ taskId }) => taskId);
    expect(ofTasks.toSorted()).toEqual(tasks.map(({ id }) => id).toSorted());
  }
});
