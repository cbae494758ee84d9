import { AutoscaleSpec, type ClusterEvent, StreamEventsRequest } from "@berth/proto";
import { expect, test } from "vitest";
import { eventually, eventuallyPasses } from "../harness/eventually.js";
import { converged, deployment, runningTasks, service, type TestServer } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const context = useTestCluster();

async function events(
  { calls }: TestServer,
  request: Parameters<typeof StreamEventsRequest.fromPartial>[0] = {},
): Promise<readonly ClusterEvent[]> {
  const all: ClusterEvent[] = [];
  for await (const { message } of calls.streamEvents(StreamEventsRequest.fromPartial(request)))
    if (message?.$case === "event") all.push(message.value);
  return all;
}

const reasonsOf = (all: readonly ClusterEvent[]): readonly string[] => all.map(({ reason }) => reason);

test("events record the deployment, failures, scaling and removal of a service, with reasons", async () => {
  const server = await context.cluster.startServer();
  const [agent] = await context.cluster.startAgents(["a"]);
  await server.calls.deployStack(deployment([service("web")]));
  await converged(server.calls, "shop_web");
  const [task] = await runningTasks(server.calls, "shop_web");
  agent?.failTask(task?.id ?? "", 7);
  await eventually("another task runs", async () => {
    const running = await runningTasks(server.calls, "shop_web");
    return running.length === 1 && running[0]?.id !== task?.id;
  });
  await server.calls.scaleServices({ services: [{ service: "shop_web", replicas: 2 }] });
  await converged(server.calls, "shop_web");
  await server.calls.removeServices({ services: ["shop_web"], stack: "" });
  await eventually(
    "the service is gone",
    async () => (await server.calls.listServices({ stack: "" })).services.length === 0,
  );

  const recorded = await events(server, { service: "shop_web" });
  const ofTask = recorded.filter(({ taskId }) => taskId === task?.id);
  expect(reasonsOf(ofTask)).toEqual(["TASK_PLACED", "TASK_STARTED", "TASK_FAILED"]);
  expect(ofTask.at(-1)).toMatchObject({ message: "exit code 7", nodeHostname: "a", isWarning: true });
  const ofService = recorded.filter(({ taskId }) => taskId === "");
  expect(reasonsOf(ofService)).toEqual(["SERVICE_CREATED", "SCALED", "SERVICE_REMOVING", "SERVICE_REMOVED"]);
  expect(await events(server, { node: "a", stack: "unknown" })).toEqual([]);
});

test("a service with the minimum 0 starts when clients wait, and events record how many have waited", async () => {
  const server = await context.cluster.startServer();
  const [agent] = await context.cluster.startAgents(["a"]);
  const mode = { $case: "replicated", value: { replicas: 0 } } as const;
  const autoscale = AutoscaleSpec.fromPartial({ min: 0, max: 1 });
  await server.calls.deployStack(deployment([{ ...service("web"), mode, autoscale }]));
  const report = (waiting: number, total: number): void =>
    agent?.reportWaitingClients({ services: [{ serviceName: "shop_web", waiting, total, refused: 0 }] });
  report(1, 1);
  await eventually("a replica runs", async () => (await runningTasks(server.calls, "shop_web")).length === 1);
  report(0, 3);
  const waits = await eventually("both events are recorded", async () => {
    const all = await events(server, { service: "shop_web" });
    const found = all.filter(({ reason }) => reason.startsWith("CONNECTIONS_"));
    return found.length === 2 && found;
  });
  expect(waits.map(({ reason, message }) => `${reason}: ${message}`)).toEqual([
    "CONNECTIONS_WAITING: no task accepts connections",
    expect.stringMatching(/^CONNECTIONS_RELEASED: 3 connections waited within \d+\.\d s$/),
  ]);
});

test("events record that a node is unreachable and why a task has no node", async () => {
  const server = await context.cluster.startServer();
  const [agent] = await context.cluster.startAgents(["a"]);
  await server.calls.deployStack(deployment([service("web", { constraints: ["node.hostname == unknown"] })]));
  await agent?.loseHost();
  const recorded = await eventually("the node is unreachable", async () => {
    const all = await events(server);
    return all.some(({ reason }) => reason === "NODE_AGENT_AWAY" || reason === "NODE_DOWN") && all;
  });
  expect(recorded).toContainEqual(
    expect.objectContaining({ reason: "TASK_UNPLACEABLE", message: expect.stringContaining("1 node") }),
  );
});

test("a resumed stream continues after its last event, also under a leader that reconstructs events from records", async () => {
  const first = await context.cluster.startServer();
  await context.cluster.startAgents(["a"]);
  await first.calls.deployStack(deployment([service("web")]));
  await converged(first.calls, "shop_web");
  // Repeated when another event is recorded between the two calls.
  const { all, epoch } = await eventuallyPasses(async () => {
    const all = await events(first);
    const { epoch = 0, sequence = 0 } = all[2] ?? {};
    const request = { afterEpoch: epoch, afterSequence: sequence, sinceMs: Date.now() + 60_000 };
    expect(await events(first, request)).toEqual(all.slice(3));
    return { all, epoch };
  });

  const second = await context.cluster.startServer();
  await first.stop();
  await eventually("the second server leads", async () => (await second.calls.getCluster({})).epoch > epoch);
  const rebuilt = (await events(second)).filter(({ isReconstructed }) => isReconstructed);
  expect(reasonsOf(rebuilt)).toEqual(
    expect.arrayContaining(["NODE_READY", "SERVICE_CREATED", "TASK_STARTED"]),
  );
  const resumed = await events(second, { afterEpoch: epoch, sinceMs: (all.at(-1)?.timeMs ?? 0) + 1 });
  expect(resumed[0]).toMatchObject({ reason: "LEADER_ELECTED", isReconstructed: false });
});
