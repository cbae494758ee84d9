import { setMaxListeners } from "node:events";
import { ServiceSpec, TaskState } from "@berth/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../harness/eventually.js";
import { RawSession } from "../harness/raw-session.js";
import { deployment, service } from "../harness/test-cluster.js";
import { ACKS, LeaderRig } from "./leader-rig.js";

let rig: LeaderRig;
let faulty: RawSession;

beforeAll(async () => {
  rig = await LeaderRig.start();
  faulty = await rig.open("faulty", "127.1.0.2");
  // Usage is kept for autoscaled services only.
  const web = service("web", { global: true });
  const scaled = service("scaled", { replicas: 1, constraints: ["node.id == faulty"] });
  const { autoscale } = ServiceSpec.fromPartial({ autoscale: { min: 1, max: 2, targetCpuPercent: 50 } });
  await eventually("both nodes are registered", async () => {
    const { nodes } = await rig.control.calls.listNodes({});
    return nodes.length === 2;
  });
  await rig.control.calls.deployStack(deployment([web, { ...scaled, autoscale }]));
  await eventually("both nodes have tasks", async () => {
    await reconnect();
    return rig.honest.taskIds.size >= 1 && faulty.taskIds.size >= 2;
  });
});

afterAll(async () => {
  faulty?.close();
  await rig?.close();
});

/** Opens another session of the faulty agent when the leader has ended the last one. */
async function reconnect(): Promise<void> {
  if (faulty.outcome === undefined) return;
  const known = [...faulty.taskIds];
  faulty = await rig.open("faulty", "127.1.0.2");
  for (const id of known) faulty.taskIds.add(id);
}

describe("lying-agent: the leader and other nodes", () => {
  test("an agent whose status exceeds the store's limits delays no acknowledgement of another node", async () => {
    const outcomes = new Set<string>();
    const disturb = async (): Promise<void> => {
      if (faulty.outcome !== undefined) outcomes.add(faulty.outcome);
      await reconnect();
      const [taskId = ""] = faulty.taskIds;
      faulty.report(taskId, "x".repeat(2_000_000));
    };
    await rig.compare("status of 2 MB", disturb);
    await eventually("the leader has ended the session", () => faulty.outcome !== undefined);
    expect([...outcomes]).toEqual(["BERTH_LIMIT_EXCEEDED"]);
  });

  test("an agent that repeats a task in its usage reports does not stop the leader", async () => {
    await reconnect();
    const taskIds = [...faulty.taskIds];
    const tasks = Array.from({ length: 10_000 }, (_, index) => ({
      taskId: taskIds[index % taskIds.length] ?? "",
      cpuPercent: 1,
    }));
    await rig.compare("usage of 10,000 entries", async () => {
      await reconnect();
      faulty.send({ $case: "usage", value: { tasks, connections: [], opened: [] } });
    });
  });

  test("an agent that sends statuses without a pause costs a bounded amount of memory", async () => {
    await reconnect();
    const [taskId = ""] = faulty.taskIds;
    await rig.compare("flood of statuses", async () => {
      await reconnect();
      for (let index = 0; index < 500; index++) faulty.report(taskId, `${index} ${"x".repeat(8_000)}`);
    });
  });

  test("an agent that registers under the ids of other nodes without a pause gets no node and no session", async () => {
    const outcomes = new Set<string>();
    const identity = await rig.cluster.admit("faulty");
    let registrations = 0;
    await rig.compare("registrations under other ids", async () => {
      const sessions = Array.from({ length: 25 }, () => {
        registrations += 1;
        const options = { serverAddress: rig.server.address, identity, hostAddress: "127.1.0.3" };
        return new RawSession({ ...options, nodeId: `other-${registrations}` });
      });
      for (const session of sessions)
        outcomes.add(await eventually("the session is refused", () => session.outcome));
    });
    expect(registrations).toBe(25 * ACKS);
    expect([...outcomes]).toEqual(["BERTH_PERMISSION_DENIED"]);
    const { nodes } = await rig.control.calls.listNodes({});
    expect(nodes.map(({ node }) => node?.id).sort()).toEqual(["faulty", "honest"]);
  });

  test("a client that opens many logs of a slow agent ends no session and leaves logs to other clients", async () => {
    await reconnect();
    // A session that was just opened counts as not connected until the leader has read its hello.
    for (const taskId of faulty.taskIds) await faulty.measureAck(taskId);
    const target = await eventually("the faulty node has a task that has not ended", async () => {
      const { tasks } = await rig.control.calls.listTasks({ service: "shop_web", stack: "", node: "" });
      const isOpen = (state: TaskState = TaskState.NEW): boolean => state <= TaskState.RUNNING;
      const task = tasks.find(({ nodeId, status }) => nodeId === "faulty" && isOpen(status?.state));
      return task !== undefined && faulty.taskIds.has(task.id) && task.id;
    });
    const request = { target, follow: true, tail: 0, sinceMs: 0, untilMs: 0 };
    const greedy = await rig.connectUser("greedy");
    const leaving = new AbortController();
    const { signal } = leaving;
    setMaxListeners(0, signal);
    const warnings: string[] = [];
    const open = async (calls: typeof greedy.calls): Promise<string> => {
      for await (const { message } of calls.streamLogs(request, { signal })) {
        if (message?.$case === "warning") return message.value;
      }
      return "";
    };
    const logs = Array.from({ length: 450 }, () =>
      open(greedy.calls).then(
        (text) => void warnings.push(text),
        () => {},
      ),
    );
    const rejected = (): number => warnings.filter((text) => text.includes("too many streams")).length;
    await eventually("the excess is rejected", () => rejected() >= 250);
    const warning = await open(rig.control.calls);
    expect({ warning, session: faulty.outcome }).toEqual({
      warning: expect.stringMatching(/does not respond/),
      session: undefined,
    });
    await rig.compare("450 logs", async () => {});
    expect(faulty.outcome).toBeUndefined();
    leaving.abort();
    await Promise.all(logs);
    greedy.close();
  });
});
