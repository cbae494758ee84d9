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
import { type ServerProcess, startServerProcess } from "../harness/server-process.js";
import { converged, deployment, runningTasks, TestCluster } from "../harness/test-cluster.js";

type Calls = RpcClient<typeof ControlServiceService>;

const ROLLOUTS_TIMEOUT_MS = 40_000;
const STOP_MS = 50;
/** Long enough for a leader to die between the making of a task and its start. */
const START_MS = 400;

const all: MatrixOutcome[] = [];

afterAll(() => {
  if (process.env.BERTH_PRINT_MATRIX === "1") process.stdout.write(`${matrixText(all)}\n`);
});

/** Every combination at the same time, each as a service of its own. */
describe.each([false, true])("the rollout matrix, leader killed half way: %s", (isLeaderKilled) => {
  let etcd: TestEtcd;
  let cluster: TestCluster;
  let doomed: ServerProcess | undefined;
  const crowded = new Set<string>();
  const outcomes = new Map<string, MatrixOutcome>();

  beforeAll(async () => {
    etcd = await startTestEtcd();
    cluster = new TestCluster(etcd.endpoint);
    doomed = await startServerProcess(["--etcd", etcd.endpoint]);
    const first = createRpcClient(ControlServiceService, { address: doomed.address });
    await first.calls.getCluster({});
    const { calls } = await cluster.startServer();
    startAgents(cluster, doomed.address, crowded);
    await first.calls.deployStack(deployment(MATRIX.map((row) => matrixSpec(row, "first"))));
    const before = await allHealthy(first.calls);

    const startedMs = Date.now();
    await first.calls.deployStack(deployment(MATRIX.map((row) => matrixSpec(row, "second"))));
    first.close();
    if (isLeaderKilled) {
      await eventually("every rollout has made a task", async () => {
        const { tasks } = await calls.listTasks({ service: "", stack: "shop", node: "" });
        const begun = tasks.filter(({ specVersion }) => specVersion > 1);
        return new Set(begun.map(({ serviceName }) => serviceName)).size === MATRIX.length;
      });
      expect((await calls.getCluster({})).leaderAddress).toBe(doomed.address);
      await doomed.kill();
      expect((await calls.getCluster({})).leaderAddress).not.toBe(doomed.address);
    }
    for (const outcome of await ends(calls, { before, startedMs, isLeaderKilled })) {
      outcomes.set(outcome.row.name, outcome);
      all.push(outcome);
    }
  }, 60_000);

  afterAll(async () => {
    const complaints = await cluster.close();
    await doomed?.kill();
    await etcd.close();
    expect(complaints).toEqual([]);
  });

  it.each(MATRIX)("$order, $action, $version", (row) => {
    const outcome = outcomes.get(row.name);
    expect(outcome).toMatchObject({ state: row.expected });
    if (row.version === "good") expect(outcome).toMatchObject({ kept: 0, failed: 0 });
    else expect(outcome?.failed).toBe(failures(row));
    // What ran well before goes on, as long as nothing better takes its place.
    if (row.version !== "good" && row.order === "start-first") expect(outcome?.kept).toBe(REPLICAS);
    if (row.version !== "good" && row.action !== "continue") expect(outcome?.kept).toBeGreaterThan(0);
    if (row.action !== "continue" && row.version !== "good") expect(outcome?.message).toContain("failed (");
  });

  it("stop-first never had two containers of a slot", () => {
    expect([...crowded].filter((slot) => slot.includes("stop-first"))).toEqual([]);
  });
});

/** A rollback begins anew; the others keep what failed. */
function failures(row: MatrixRow): number {
  if (row.action === "rollback") return 0;
  return row.action === "continue" ? REPLICAS : 1;
}

function startAgents(cluster: TestCluster, leader: string, crowded: Set<string>): void {
  const servers = [leader, ...cluster.servers.map(({ address }) => address)];
  const onStart = (task: AssignedTask): void => {
    const slot = `${task.serviceName}.${task.slot}`;
    const up = cluster.agents.flatMap((agent) =>
      [...agent.containers.values()].filter(
        ({ assigned }) => `${assigned.serviceName}.${assigned.slot}` === slot && agent.isUp(assigned.id),
      ),
    );
    if (up.length > 1) crowded.add(slot);
  };
  for (const nodeId of ["a", "b", "c"])
    cluster.startAgent(nodeId, { servers, onStart, startMs: START_MS, stopMs: STOP_MS });
}

async function summaries(calls: Calls): Promise<readonly ServiceSummary[]> {
  return (await calls.listServices({ stack: "shop" })).services;
}

/** Ids of the tasks by service, once every service is known to run well. */
async function allHealthy(calls: Calls): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  await eventually("every first version runs well", async () => {
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
    // That it is complete is written before the last old task is told to stop.
    if (version === "good") await converged(calls, name);
    counted.push({ ...outcome, kept: await keptOf(calls, name, input.before.get(name) ?? new Set()) });
  }
  return counted;
}

/** How many tasks that ran before the update run on, and are to. */
async function keptOf(calls: Calls, name: string, before: ReadonlySet<string>): Promise<number> {
  const tasks = await runningTasks(calls, name);
  return tasks.filter(({ id, desiredState }) => before.has(id) && desiredState === DesiredState.RUNNING)
    .length;
}
