import {
  type AuditRecord,
  AuditRecord_Kind,
  Availability,
  ControlServiceService,
  ExecRequest,
  Health,
  StreamAuditRequest,
  StreamEventsRequest,
  UpdateNodeRequest,
} from "@berth/proto";
import { createRpcClient, type RpcClient } from "@berth/proto/rpc";
import { describe, expect, test } from "vitest";
import { run } from "../../packages/cli/src/main.js";
import { fakeCli } from "../../packages/cli/src/testing/fake-cli.js";
import { recordKey } from "../../packages/control-plane/src/state/change.js";
import { readAll } from "../../packages/control-plane/src/store/read.js";
import type { Op } from "../../packages/control-plane/src/store/store.js";
import { eventually } from "../harness/eventually.js";
import { converged, deployment, runningTasks, service } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

type Calls = RpcClient<typeof ControlServiceService>;

const context = useTestCluster();

async function audit(
  calls: Calls,
  request: Parameters<typeof StreamAuditRequest.fromPartial>[0] = {},
): Promise<readonly AuditRecord[]> {
  const all: AuditRecord[] = [];
  for await (const { message } of calls.streamAudit(StreamAuditRequest.fromPartial(request)))
    if (message?.$case === "record") all.push(message.value);
  return all;
}

/** Returns the methods and results of records: `ScaleServices ok`. */
function results(records: readonly AuditRecord[]): readonly string[] {
  return records.map(({ method, errorCode }) => `${method} ${errorCode || "ok"}`);
}

interface FollowedRecord {
  readonly sequence: number;
  readonly method: string;
  readonly result: string;
}

/** Runs `berth audit -f`. */
function followAudit(sockets: readonly string[]): { records(): readonly FollowedRecord[]; stop(): void } {
  const stopping = new AbortController();
  const cli = fakeCli({
    env: { BERTH_SERVER: sockets.map((socket) => `unix:${socket}`).join(",") },
    signal: stopping.signal,
  });
  void run(["audit", "-f", "-o", "json"], cli);
  const records = (): readonly FollowedRecord[] => {
    const lines = cli.out().split("\n");
    return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as FollowedRecord);
  };
  return { records, stop: () => stopping.abort() };
}

describe("the audit log", () => {
  test("lists a deployment, a refused one, a scale, a drain and an exec, with subjects and without secrets", async () => {
    const leader = await context.cluster.startServer();
    await eventually("the first server leads", async () => (await leader.calls.getCluster({})).epoch > 0);
    const { calls } = await context.cluster.startServer();
    await context.cluster.startAgents(["a", "b"]);
    const spec = service("web");
    const container = spec.task?.container;
    if (container !== undefined) container.env = ["PASSWORD=hunter2"];
    await calls.deployStack(deployment([spec]));
    await converged(calls, "shop_web");
    await calls.deployStack(deployment([service("api")], { dryRun: true }));
    await expect(
      calls.deployStack(deployment([service("api", { image: "not an image" })])),
    ).rejects.toThrow();
    await calls.scaleServices({ services: [{ service: "shop_web", replicas: 2 }] });
    await converged(calls, "shop_web");
    await calls.updateNode(UpdateNodeRequest.fromPartial({ node: "b", availability: Availability.DRAIN }));
    const [task] = await runningTasks(calls, "shop_web");
    const leaving = new AbortController();
    const start = {
      target: task?.id ?? "",
      command: { command: ["psql", "--password=hunter2"], user: "root" },
    };
    const execution = calls.exec(
      (async function* () {
        yield ExecRequest.fromPartial({ message: { $case: "start", value: start } });
        // The fake agent never answers.
        await new Promise((resolve) => leaving.signal.addEventListener("abort", resolve));
      })(),
      { signal: leaving.signal },
    );
    const ended = execution[Symbol.asyncIterator]()
      .next()
      .catch(() => undefined);
    const records = await eventually("all calls are recorded", async () => {
      const all = await audit(calls);
      return all.length >= 5 && all;
    });
    leaving.abort();
    await ended;

    expect([...results(records)].sort()).toEqual([
      "DeployStack BERTH_SPEC_INVALID",
      "DeployStack ok",
      "Exec ok",
      "ScaleServices ok",
      "UpdateNode ok",
    ]);
    const byResult = new Map(records.map((record) => [results([record])[0], record]));
    expect(byResult.get("DeployStack ok")).toMatchObject({
      kind: AuditRecord_Kind.CHANGE,
      subjects: [{ kind: "stack", name: "shop" }],
      summary: "shop_web created: version 1, image web:1, replicas 1",
      server: leader.address,
      count: 1,
    });
    expect(byResult.get("DeployStack BERTH_SPEC_INVALID")).toMatchObject({
      kind: AuditRecord_Kind.REFUSED,
      subjects: [{ kind: "stack", name: "shop" }],
    });
    expect(byResult.get("ScaleServices ok")).toMatchObject({
      subjects: [{ kind: "service", name: "shop_web" }],
      summary: "shop_web: version 1 -> 2, replicas 1 -> 2",
    });
    expect(byResult.get("UpdateNode ok")).toMatchObject({
      subjects: [{ kind: "node", id: "b", name: "b" }],
      summary: "node b: availability active -> drain",
    });
    expect(byResult.get("Exec ok")).toMatchObject({
      kind: AuditRecord_Kind.ACCESS,
      subjects: [{ kind: "task", id: task?.id, name: `shop_web.${task?.slot}` }],
      summary: "program psql as user root",
    });
    // The follower forwarded the calls of its Unix socket.
    for (const { client, forwardedBy } of records) {
      expect(client).toBe("the server's host");
      expect(forwardedBy).toMatch(/^127\.0\.0\.1:\d+$/);
    }
    expect(JSON.stringify(records)).not.toContain("hunter2");
    const sequences = records.map(({ sequence }) => sequence);
    expect(sequences).toEqual([1, 2, 3, 4, 5]);
    expect(await audit(calls, { limit: 2 })).toEqual(records.slice(3));
    expect(await audit(calls, { sinceMs: Date.now() + 60_000 })).toEqual([]);
    expect(await audit(calls, { afterSequence: 3 })).toEqual(records.slice(3));
  });

  test("follower-refusals: has the calls that a follower refuses, as one record until a minute has passed", async () => {
    const leader = await context.cluster.startServer();
    await eventually("the first server leads", async () => (await leader.calls.getCluster({})).epoch > 0);
    const follower = await context.cluster.startServer();
    await eventually("the follower knows the leader", () => follower.calls.getCluster({}));
    const identity = await context.cluster.admit("n1");
    const node = createRpcClient(ControlServiceService, { address: follower.address, identity });
    try {
      for (let call = 0; call < 200; call += 1)
        await expect(node.calls.listUsers({})).rejects.toMatchObject({ code: "BERTH_PERMISSION_DENIED" });
      const records = await eventually("the refused call is recorded", async () => {
        const all = await audit(leader.calls);
        return all.length > 0 && all;
      });
      expect(records).toMatchObject([
        {
          kind: AuditRecord_Kind.REFUSED,
          method: "ListUsers",
          caller: 'node "n1"',
          count: 1,
          errorCode: "BERTH_PERMISSION_DENIED",
          server: leader.address,
          client: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
          forwardedBy: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
        },
      ]);
      expect(await audit(leader.calls)).toHaveLength(1);
    } finally {
      node.close();
    }
  });

  test("keeps its records while an agent floods the leader with statuses, which become events", async () => {
    const { calls } = await context.cluster.startServer();
    const [agent] = await context.cluster.startAgents(["a"]);
    await calls.deployStack(deployment([service("web")]));
    await converged(calls, "shop_web");
    const [task] = await runningTasks(calls, "shop_web");
    if (agent === undefined || task?.status === undefined) throw new Error("no running task");
    const before = await audit(calls);
    expect(results(before)).toEqual(["DeployStack ok"]);
    const countEvents = async (): Promise<number> => {
      let count = 0;
      for await (const _ of calls.streamEvents(StreamEventsRequest.fromPartial({}))) count += 1;
      return count;
    };
    const eventsBefore = await countEvents();
    const { status: running, id: taskId, serviceId } = task;
    let sent = 0;
    // The leader merges statuses that it has not written yet. A slow one turns thousands of them into a few events.
    await eventually("the statuses become events", async () => {
      for (let count = 0; count < 250; count += 1) {
        sent += 1;
        const health = sent % 2 === 0 ? Health.UNHEALTHY : Health.HEALTHY;
        const status = { ...running, health, message: `status ${sent}` };
        agent.reportRaw({ taskId, serviceId, status, removed: false });
      }
      return (await countEvents()) > eventsBefore + 20;
    });
    expect(await audit(calls)).toEqual(before);
  });

  test("removes the oldest changes when there are more than the limit, and keeps its sequence", async () => {
    const { store } = context.cluster.openStore();
    const { signal } = new AbortController();
    const ops = Array.from({ length: 5_100 }, (_, index): Op => {
      const sequence = index + 1;
      const value = { sequence, timeMs: 1_000, kind: "KIND_CHANGE", method: "DeployStack", count: 1 };
      return { kind: "put", key: recordKey("audit", { sequence }), value: JSON.stringify(value) };
    });
    for (let start = 0; start < ops.length; start += 100)
      await store.txn({ ops: ops.slice(start, start + 100) }, signal);
    const { calls } = await context.cluster.startServer();
    for (let replicas = 1; replicas <= 5; replicas += 1)
      await calls.deployStack(deployment([service("web", { replicas })]));
    const records = await audit(calls);
    expect(records.at(-1)?.sequence).toBe(5_105);
    expect(records.length).toBeLessThanOrEqual(5_000);
    expect(records.length).toBeGreaterThan(4_900);
    const first = records[0]?.sequence ?? 0;
    expect(records.map(({ sequence }) => sequence)).toEqual(records.map((_, index) => first + index));
    const { entries } = await readAll(store, { prefix: "/berth/v1/audit/" }, signal);
    expect(entries).toHaveLength(records.length);
  });

  test("continues across leaders that crash or stop, and `berth audit -f` prints each record once", async () => {
    const killed = await context.cluster.startProcess();
    const first = createRpcClient(ControlServiceService, { socket: killed.socket });
    const firstEpoch = await eventually("the first server leads", async () => {
      return (await first.calls.getCluster({})).epoch;
    });
    first.close();
    const second = await context.cluster.startServer();
    const third = await context.cluster.startServer();
    const scale = (calls: Calls, replicas: number) =>
      calls.scaleServices({ services: [{ service: "shop_web", replicas }] });
    const followed = followAudit([killed.socket, second.socket, third.socket]);
    await second.calls.deployStack(deployment([service("web")]));
    await scale(second.calls, 2);
    await eventually("the first records are printed", () => followed.records().length === 2);

    await killed.kill();
    const epoch = await eventually("another server leads", async () => {
      const now = await second.calls.getCluster({}).catch(() => ({ epoch: firstEpoch, leaderAddress: "" }));
      return now.epoch > firstEpoch && now;
    });
    await scale(second.calls, 3);
    const [leader, other] = epoch.leaderAddress === second.address ? [second, third] : [third, second];
    await leader.stop();
    await eventually("the last server leads", async () => {
      return (await other.calls.getCluster({}).catch(() => ({ epoch: 0 }))).epoch > epoch.epoch;
    });
    await other.calls.removeServices({ services: ["shop_web"], stack: "" });
    await eventually("all records are printed", () => followed.records().length >= 4);
    followed.stop();
    expect(
      followed.records().map(({ sequence, method, result }) => `${sequence} ${method} ${result}`),
    ).toEqual(["1 DeployStack ok", "2 ScaleServices ok", "3 ScaleServices ok", "4 RemoveServices ok"]);
    expect(await audit(other.calls)).toMatchObject(followed.records().map(({ sequence }) => ({ sequence })));
  });
});
