import {
  CronSpec,
  CronSpec_Concurrency,
  Dependency_Condition,
  RestartPolicy,
  type Service,
  ServiceOutcome_Kind,
  type ServiceSpec,
  type Task,
  TaskState,
} from "@berth/proto";
import { beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.js";
import type { FakeAgent } from "../harness/fake-agent/fake-agent.js";
import { converged, deployment, runningTasks, service, type TestServer } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const context = useTestCluster();
let calls: TestServer["calls"];
let agents: FakeAgent[];

beforeEach(async () => {
  ({ calls } = await context.cluster.startServer());
  agents = await context.cluster.startAgents(["a", "b"]);
});

function job(
  name: string,
  run: { total: number; maxConcurrent?: number; maxAttempts?: number },
): ServiceSpec {
  const { total, maxConcurrent = 0, maxAttempts = 0 } = run;
  const spec = service(name);
  const restart = RestartPolicy.fromPartial({ maxAttempts });
  return {
    ...spec,
    mode: { $case: "replicatedJob", value: { totalCompletions: total, maxConcurrent } },
    task: spec.task && { ...spec.task, restart },
  };
}

function dependsOn(spec: ServiceSpec, on: string, condition: Dependency_Condition): ServiceSpec {
  return { ...spec, dependsOn: [{ service: `shop_${on}`, condition, optional: false, restart: false }] };
}

async function record(name: string): Promise<Service | undefined> {
  const { service: summary } = await calls.getService({ service: name });
  return summary?.service;
}

async function tasksOf(name: string): Promise<readonly Task[]> {
  const { tasks } = await calls.listTasks({ service: name, stack: "", node: "" });
  return tasks;
}

/** Ends the container of one running task of a service. Resolves when the leader has recorded it. */
async function endTask(name: string, exitCode = 0): Promise<void> {
  const task = await eventually(`a task of ${name} runs`, async () => (await runningTasks(calls, name))[0]);
  agents.find(({ containers }) => containers.has(task.id))?.failTask(task.id, exitCode);
  await eventually("the leader has recorded that the task ended", async () => {
    const tasks = await runningTasks(calls, name);
    return !tasks.some(({ id }) => id === task.id);
  });
}

describe("a job", () => {
  it("runs until it has completed, with at most maxConcurrent tasks at a time", async () => {
    await calls.deployStack(deployment([job("import", { total: 3, maxConcurrent: 2 })]));
    for (let left = 3; left > 0; left -= 1) {
      await eventually("a task runs", async () => (await runningTasks(calls, "shop_import")).length > 0);
      expect((await runningTasks(calls, "shop_import")).length).toBeLessThanOrEqual(2);
      await endTask("shop_import");
    }
    await converged(calls, "shop_import");
    expect((await record("shop_import"))?.job).toMatchObject({ iteration: 1, failed: false });
    expect((await tasksOf("shop_import")).map(({ status }) => status?.state)).toEqual([
      TaskState.COMPLETE,
      TaskState.COMPLETE,
      TaskState.COMPLETE,
    ]);
  });

  it("runs again when it is forced but not when its completions change", async () => {
    await calls.deployStack(deployment([job("import", { total: 2, maxConcurrent: 1 })]));
    await endTask("shop_import");
    await endTask("shop_import");
    await converged(calls, "shop_import");

    await calls.deployStack(deployment([job("import", { total: 1 })]));
    await converged(calls, "shop_import");
    expect((await record("shop_import"))?.job?.iteration).toBe(1);

    await calls.updateService({
      service: "shop_import",
      spec: undefined,
      expectedVersion: 0,
      force: true,
      pushedImages: [],
    });
    await endTask("shop_import");
    await converged(calls, "shop_import");
    expect((await record("shop_import"))?.job).toMatchObject({ iteration: 2, failed: false });

    const again = await calls.deployStack(deployment([job("import", { total: 1 })]));
    expect(again.services[0]?.kind).toBe(ServiceOutcome_Kind.UNCHANGED);
  });

  it("fails after its last attempt and reports the exit code", async () => {
    await calls.deployStack(deployment([job("import", { total: 1, maxAttempts: 1 })]));
    await endTask("shop_import", 3);
    await endTask("shop_import", 3);
    await eventually("the job has failed", async () => (await record("shop_import"))?.job?.failed);
    const { service: summary } = await calls.getService({ service: "shop_import" });
    expect(summary?.converged).toBe(false);
    expect(summary?.reasons.join()).toMatch(/slot 1: .*\(exit code 3\); 0 of 1 completed/);
  });
});

describe("a run of a job", () => {
  it("continues under another leader without repeating completed tasks", async () => {
    const second = await context.cluster.startServer();
    agents = await context.cluster.startAgents(["c"]);
    const onC = service("import", { constraints: ["node.id == c"] });
    await calls.deployStack(
      deployment([{ ...job("import", { total: 3, maxConcurrent: 1 }), placement: onC.placement }]),
    );
    await endTask("shop_import");
    await context.cluster.servers[0]?.stop();
    ({ calls } = second);
    await endTask("shop_import");
    await endTask("shop_import");
    await converged(calls, "shop_import");
    expect((await record("shop_import"))?.job).toMatchObject({ iteration: 1, message: "3 of 3 completed" });
    expect((await tasksOf("shop_import")).map(({ slot }) => slot).sort()).toEqual([1, 2, 3]);
  });
});

describe("a cron job", () => {
  it("runs on its schedule and keeps no more runs than its history", async () => {
    const cron = CronSpec.fromPartial({
      schedule: "@every 1s",
      concurrency: CronSpec_Concurrency.FORBID,
      history: 1,
    });
    await calls.deployStack(deployment([{ ...job("report", { total: 1 }), cron }]));
    await converged(calls, "shop_report");
    for (let run = 0; run < 3; run += 1) await endTask("shop_report");
    await eventually("three runs have ended", async () => {
      const { cron: status } = (await record("shop_report")) ?? {};
      return status?.runs.some(({ iteration, endedAtMs }) => iteration >= 3 && endedAtMs > 0);
    });
    const kept = await eventually("older runs are gone", async () => {
      const iterations = new Set((await tasksOf("shop_report")).map(({ jobIteration }) => jobIteration));
      return Math.min(...iterations) >= 3 && iterations;
    });
    expect(kept.size).toBeLessThanOrEqual(2);
  });
});

describe("a service that depends on another", () => {
  it("waits until the dependency is healthy and reports what it waits for", async () => {
    const web = dependsOn(service("web"), "db", Dependency_Condition.HEALTHY);
    await calls.deployStack(deployment([web]));
    const waiting = await eventually("the task exists", async () => (await tasksOf("shop_web"))[0]);
    expect(waiting).toMatchObject({
      nodeId: "",
      status: { state: TaskState.NEW, message: "waiting for shop_db: no such service" },
    });

    await calls.deployStack(deployment([service("db", { image: "never-healthy" })]));
    await eventually("the reason changes", async () => {
      const { service: summary } = await calls.getService({ service: "shop_web" });
      return summary?.reasons.includes("waiting for shop_db: healthy");
    });
    await calls.deployStack(deployment([service("db", { image: "db:2" })]));
    await converged(calls, "shop_web");
  });

  it("does not wait again when its task restarts", async () => {
    const web = dependsOn(service("web"), "db", Dependency_Condition.HEALTHY);
    await calls.deployStack(deployment([web, service("db")]));
    await converged(calls, "shop_web");
    await calls.removeServices({ services: ["shop_db"], stack: "" });
    await eventually("the dependency is gone", async () => {
      const { services } = await calls.listServices({ stack: "shop" });
      return services.length === 1;
    });
    const [before] = await runningTasks(calls, "shop_web");
    await endTask("shop_web", 1);
    const after = await eventually(
      "another task runs",
      async () => (await runningTasks(calls, "shop_web"))[0],
    );
    expect(after.id).not.toBe(before?.id);
  });

  it("waits until a job has completed", async () => {
    const web = dependsOn(service("web"), "migrate", Dependency_Condition.COMPLETED);
    await calls.deployStack(deployment([web, job("migrate", { total: 1 })]));
    await eventually("the job runs", async () => (await runningTasks(calls, "shop_migrate")).length === 1);
    await expect
      .poll(async () => (await tasksOf("shop_web")).map(({ status }) => status?.message))
      .toEqual(["waiting for shop_migrate: completed"]);
    await endTask("shop_migrate");
    await converged(calls, "shop_web");
  });
});

describe("an autoscaled service", () => {
  const web = (): ServiceSpec => ({
    ...service("web"),
    autoscale: { min: 1, max: 4, targetCpuPercent: 0, targetConnections: 10 },
  });

  it("gets more replicas when its connections exceed the target", async () => {
    await calls.deployStack(deployment([web()]));
    await converged(calls, "shop_web");
    for (const agent of agents) {
      await eventually("the agent measures the service", () => agent.usageServices.includes("shop_web"));
    }
    const [task] = await runningTasks(calls, "shop_web");
    const report = setInterval(() => {
      for (const agent of agents) {
        agent.reportUsage({
          tasks: [],
          connections: [{ taskId: task?.id ?? "", active: 15 }],
          opened: [],
        });
      }
    }, 500);
    try {
      await eventually(
        "three replicas run",
        async () => (await runningTasks(calls, "shop_web")).length === 3,
      );
    } finally {
      clearInterval(report);
    }
    expect((await record("shop_web"))?.autoscale).toMatchObject({
      replicas: 3,
      message: "from 1 to 3: 30 connections per replica, the target is 10",
    });
  });

  it("an autoscaled service cannot be scaled by hand", async () => {
    await calls.deployStack(deployment([web()]));
    const scaling = calls.scaleServices({ services: [{ service: "shop_web", replicas: 1 }] });
    await expect(scaling).rejects.toThrow(/scales itself between 1 and 4/);
  });

  it("a service is no longer measured after autoscaling was removed from it", async () => {
    await calls.deployStack(deployment([web()]));
    for (const agent of agents) {
      await eventually("the agent measures the service", () => agent.usageServices.includes("shop_web"));
    }
    await calls.deployStack(deployment([service("web")]));
    for (const agent of agents) {
      await eventually("the agent measures no service", () => agent.usageServices.length === 0);
    }
  });
});
