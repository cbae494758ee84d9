import { type AssignedTask, ControlServiceService, DesiredState, type ServiceSummary } from "@berth/proto";
import { createRpcClient, type RpcClient } from "@berth/proto/rpc";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";
import { eventually } from "../harness/eventually.js";
import {
  finalState,
  MATRIX,
  type MatrixOutcome,
  type MatrixRow,
  matrixSpec,
  matrixText,
  REPLICAS,
} from "../harness/rollout-matrix.js";
import type { ServerProcess } from "../harness/server-process.js";
import { converged, deployment, runningTasks, TestCluster } from "../harness/test-cluster.js";

type Calls = RpcClient<typeof ControlServiceService>;

const ROLLOUTS_TIMEOUT_MS = 40_000;
const STOP_MS = 50;
/** Long enough to kill the leader between the creation of a task and its start. */
const START_MS = 400;

const all: MatrixOutcome[] = [];

afterAll(() => {
  if (process.env.BERTH_PRINT_MATRIX === "1") process.stdout.write(`${matrixText(all)}\n`);
});

/** Runs all combinations at the same time, each as a service of its own. */
describe.each([false, true])(
  "the rollout matrix, leader killed during the rollouts: %s",
  (isLeaderKilled) => {
    let etcd: TestEtcd;
    let cluster: TestCluster;
    let killedLeader: ServerProcess | undefined;
    const doubledSlots = new Set<string>();
    const outcomes = new Map<string, MatrixOutcome>();

    beforeAll(async () => {
      etcd = await startTestEtcd();
      cluster = new TestCluster(etcd.endpoint);
      killedLeader = await cluster.startProcess();
      const first = createRpcClient(ControlServiceService, { socket: killedLeader.socket });
      await first.calls.getCluster({});
      const { calls } = await cluster.startServer();
      startAgents(cluster, killedLeader.address, doubledSlots);
      await first.calls.deployStack(deployment(MATRIX.map((row) => matrixSpec(row, "first"))));
      const before = await allHealthy(first.calls);

      const startedMs = Date.now();
      await first.calls.deployStack(deployment(MATRIX.map((row) => matrixSpec(row, "second"))));
      first.close();
      if (isLeaderKilled) {
        await eventually("every rollout has created a task", async () => {
          const { tasks } = await calls.listTasks({ service: "", stack: "shop", node: "" });
          const begun = tasks.filter(({ specVersion }) => specVersion > 1);
          return new Set(begun.map(({ serviceName }) => serviceName)).size === MATRIX.length;
        });
        expect((await calls.getCluster({})).leaderAddress).toBe(killedLeader.address);
        await killedLeader.kill();
        expect((await calls.getCluster({})).leaderAddress).not.toBe(killedLeader.address);
      }
      for (const outcome of await ends(calls, { before, startedMs, isLeaderKilled })) {
        outcomes.set(outcome.row.name, outcome);
        all.push(outcome);
      }
    }, 60_000);

    afterAll(async () => {
      const complaints = await cluster.close();
      await etcd.close();
      expect(complaints).toEqual([]);
    });

    it.each(MATRIX)("ends as expected: $order, $action, $version", (row) => {
      const outcome = outcomes.get(row.name);
      expect(outcome).toMatchObject({ state: row.expected });
      if (row.version === "good") expect(outcome).toMatchObject({ kept: 0, failed: 0 });
      else expect(outcome?.failed).toBe(failures(row));
      // Healthy tasks keep running until a healthy replacement runs.
      if (row.version !== "good" && row.order === "start-first") expect(outcome?.kept).toBe(REPLICAS);
      if (row.version !== "good" && row.action !== "continue") expect(outcome?.kept).toBeGreaterThan(0);
      if (row.action !== "continue" && row.version !== "good") expect(outcome?.message).toContain("failed (");
    });

    it("stop-first never runs two containers of a slot", () => {
      expect([...doubledSlots].filter((slot) => slot.includes("stop-first"))).toEqual([]);
    });
  },
);

/** Returns the expected number of failed slots. A rollback resets it. */
function failures(row: MatrixRow): number {
  if (row.action === "rollback") return 0;
  return row.action === "continue" ? REPLICAS : 1;
}

function startAgents(cluster: TestCluster, leader: string, doubledSlots: Set<string>): void {
  const servers = [leader, ...cluster.servers.map(({ address }) => address)];
  const onStart = (task: AssignedTask): void => {
    const slot = `${task.serviceName}.${task.slot}`;
    const up = cluster.agents.flatMap((agent) =>
      [...agent.containers.values()].filter(
        ({ assigned }) => `${assigned.serviceName}.${assigned.slot}` === slot && agent.isUp(assigned.id),
      ),
    );
    if (up.length > 1) doubledSlots.add(slot);
  };
  for (const nodeId of ["a", "b", "c"])
    cluster.startAgent(nodeId, { servers, onStart, startMs: START_MS, stopMs: STOP_MS });
}

async function summaries(calls: Calls): Promise<readonly ServiceSummary[]> {
  return (await calls.listServices({ stack: "shop" })).services;
}

/** Waits until every service is healthy. Returns the IDs of the tasks by service. */
async function allHealthy(calls: Calls): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  await eventually("every first version is healthy", async () => {
    const services = await summaries(calls);
    return (
      services.length === MATRIX.length && services.every(({ service }) => service?.healthyVersion === 1)
    );
  });
  const ids = new Map<string, ReadonlySet<string>>();
  for (const { name } of MATRIX) {
    ids.set(name, new Set((await runningTasks(calls, name)).map(({ id }) => id)));
  }
  return ids;
}

async function ends(
  calls: Calls,
  input: {
    readonly before: ReadonlyMap<string, ReadonlySet<string>>;
    readonly startedMs: number;
    readonly isLeaderKilled: boolean;
  },
): Promise<readonly MatrixOutcome[]> {
  const outcomes = new Map<string, Omit<MatrixOutcome, "kept">>();
  await eventually(
    "every rollout ends",
    async () => {
      for (const summary of await summaries(calls)) {
        const row = MATRIX.find(({ name }) => name === summary.service?.spec?.name);
        const state = finalState(summary);
        if (row === undefined || state === undefined || outcomes.has(row.name)) continue;
        const rollout = summary.service?.rollout;
        outcomes.set(row.name, {
          row,
          isLeaderKilled: input.isLeaderKilled,
          state,
          tookMs: Date.now() - input.startedMs,
          failed: rollout?.failedCount ?? 0,
          message: rollout?.message ?? "",
        });
      }
      return outcomes.size === MATRIX.length;
    },
    ROLLOUTS_TIMEOUT_MS,
  );
  const counted: MatrixOutcome[] = [];
  for (const outcome of outcomes.values()) {
    const { name, version } = outcome.row;
    // The rollout is recorded as completed before its last outdated task is stopped.
    if (version === "good") await converged(calls, name);
    counted.push({ ...outcome, kept: await keptOf(calls, name, input.before.get(name) ?? new Set()) });
  }
  return counted;
}

/** Returns the number of tasks from before the update that are to run and do run. */
async function keptOf(calls: Calls, name: string, before: ReadonlySet<string>): Promise<number> {
  const tasks = await runningTasks(calls, name);
  return tasks.filter(({ id, desiredState }) => before.has(id) && desiredState === DesiredState.RUNNING)
    .length;
}
