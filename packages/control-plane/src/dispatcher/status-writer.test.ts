import { BerthError, type ReportedTask, TaskState, TaskStatus, TaskStatuses } from "@berth/proto";
import { pino } from "pino";
import { expect, test } from "vitest";
import { buildTask } from "../core/testing/records.js";
import type { Decide } from "../reconciler/writer.js";
import { Deferred } from "../runtime/deferred.js";
import { systemRuntime } from "../runtime/runtime.js";
import { ClusterState } from "../state/cluster-state.js";
import { ManualClock } from "../testing/manual-clock.js";
import { type StatusReceiver, StatusWriter } from "./status-writer.js";

const over = new AbortController().signal;

/** A writer that makes each decision when `store` allows it, and one task on each of two nodes. */
function setUp(store: (taskIds: readonly string[]) => Promise<void>) {
  const clock = new ManualClock();
  const state = new ClusterState();
  const written: string[][] = [];
  const tasks = ["1", "2"].map((number) =>
    buildTask({ id: `t${number}`, nodeId: `n${number}`, status: { state: TaskState.ASSIGNED } }),
  );
  state.apply(
    tasks.map((task, index) => ({ change: { kind: "put-task", task }, revision: BigInt(index + 1) })),
  );
  const submit = async <T>(decide: Decide<T>): Promise<T> => {
    const { changes, result } = decide(state);
    const taskIds = changes.flatMap((change) => (change.kind === "put-task" ? [change.task.id] : []));
    await store(taskIds);
    written.push(taskIds);
    return result;
  };
  const statusWriter = new StatusWriter({
    state,
    writer: { submit },
    runtime: { ...systemRuntime, clock },
    logger: pino({ level: "silent" }),
    signal: over,
  });
  return { clock, statusWriter, written };
}

class RecordingReceiver implements StatusReceiver {
  readonly acks: number[] = [];
  readonly errors: BerthError[] = [];
  ackStatuses = (batch: number): void => void this.acks.push(batch);
  end = (error: BerthError): void => void this.errors.push(error);
}

function running(taskId: string): ReportedTask {
  const status = TaskStatus.fromPartial({ state: TaskState.RUNNING });
  return { taskId, serviceId: "s1", status, removed: false };
}

function batchOf(batch: number, ...taskIds: string[]): TaskStatuses {
  return TaskStatuses.fromPartial({ batch, tasks: taskIds.map(running) });
}

test("StatusWriter ends the session of an agent whose statuses the store rejects, and acknowledges other agents", async () => {
  let attempts = 0;
  const { clock, statusWriter } = setUp(async (taskIds) => {
    if (!taskIds.includes("t1")) return;
    attempts += 1;
    throw new BerthError({ code: "BERTH_STORE_LIMIT", message: "too large" });
  });
  const [faulty, honest] = [new RecordingReceiver(), new RecordingReceiver()];
  statusWriter.enqueue("n1", batchOf(1, "t1"), faulty);
  statusWriter.enqueue("n2", batchOf(1, "t2"), honest);
  await clock.advance(10_000);
  expect(honest.acks).toEqual([1]);
  expect(faulty.acks).toEqual([]);
  expect(faulty.errors).toMatchObject([{ code: "BERTH_STORE_LIMIT" }]);
  expect(attempts).toBe(1);
});

test("StatusWriter acknowledges an agent whose statuses are written while those of another agent wait", async () => {
  const stuck = new Deferred<void>();
  const { clock, statusWriter } = setUp((taskIds) =>
    taskIds.includes("t1") ? stuck.promise : Promise.resolve(),
  );
  const [slow, fast] = [new RecordingReceiver(), new RecordingReceiver()];
  statusWriter.enqueue("n1", batchOf(1, "t1"), slow);
  statusWriter.enqueue("n2", batchOf(1, "t2"), fast);
  await clock.advance(100);
  expect(fast.acks).toEqual([1]);
  stuck.resolve();
  await clock.advance(100);
  expect(slow.acks).toEqual([1]);
});

test("StatusWriter keeps one acknowledgement for an agent, however many batches it sends", async () => {
  let isAvailable = false;
  const { clock, statusWriter } = setUp(async () => {
    if (isAvailable) return;
    throw new BerthError({ code: "BERTH_ETCD_UNAVAILABLE", message: "no etcd" });
  });
  const receiver = new RecordingReceiver();
  for (let batch = 1; batch <= 10_000; batch++) statusWriter.enqueue("n1", batchOf(batch, "t1"), receiver);
  await clock.advance(1_000);
  isAvailable = true;
  await clock.advance(1_000);
  // The first batch is in flight when the others arrive.
  expect(receiver.acks.length).toBeLessThanOrEqual(2);
  expect(receiver.acks.at(-1)).toBe(10_000);
});

test("StatusWriter writes a task's status although another node reports the task too", async () => {
  const { clock, statusWriter, written } = setUp(async () => {});
  statusWriter.enqueue("n1", batchOf(1), new RecordingReceiver());
  statusWriter.enqueue("n1", batchOf(2, "t1"), new RecordingReceiver());
  statusWriter.enqueue("n2", batchOf(1, "t1"), new RecordingReceiver());
  await clock.advance(1_000);
  expect(written.flat()).toEqual(["t1"]);
});
