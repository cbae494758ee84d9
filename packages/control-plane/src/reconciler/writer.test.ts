import { BerthError, DesiredState, Task, TaskState } from "@berth/proto";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Clock, systemClock } from "../runtime/clock.js";
import { type Change, recordKey } from "../state/change.js";
import { ClusterState } from "../state/cluster-state.js";
import { MAX_TXN_BYTES } from "../store/check-txn.js";
import { LEADER_KEY } from "../store/keys.js";
import { readOne } from "../store/read.js";
import type { Store, TxnRequest } from "../store/store.js";
import { MemoryStore } from "../testing/memory-store/memory-store.js";
import { encodeChange, MAX_CHANGES } from "./transaction.js";
import { type Decide, Writer } from "./writer.js";

const never = new AbortController().signal;

let memory: MemoryStore;
let state: ClusterState;
let over: AbortController;
let running: Promise<void>;
let outcomes: string[];
let listenerErrors: unknown[];

beforeEach(() => {
  memory = new MemoryStore({ clock: systemClock });
  listenerErrors = [];
  state = new ClusterState((error) => listenerErrors.push(error));
  over = new AbortController();
  outcomes = [];
  running = Promise.resolve();
});
afterEach(async () => {
  over.abort(new Error("test ended"));
  await running;
  memory.close();
});

async function startWriter(change: Partial<Store> = {}, clock: Clock = systemClock): Promise<Writer> {
  const outcome = await memory.txn({ ops: [{ kind: "put", key: LEADER_KEY, value: "me" }] }, never);
  if (outcome.kind !== "committed") throw new Error("no leader key");
  const store: Store = {
    range: (query, signal) => memory.range(query, signal),
    txn: (request, signal) => memory.txn(request, signal),
    watch: (query, signal) => memory.watch(query, signal),
    leases: memory.leases,
    ...change,
  };
  const writer = new Writer({
    store,
    state,
    fence: { kind: "created-at", key: LEADER_KEY, revision: outcome.revision },
    clock,
    logger: pino({ level: "silent" }),
    observer: { onTransaction: (kind, changes) => outcomes.push(`${kind} ${changes}`) },
  });
  running = writer.run(over.signal);
  return writer;
}

function task(id: string, message = ""): Task {
  return Task.fromPartial({
    id,
    serviceId: "s",
    desiredState: DesiredState.RUNNING,
    status: { state: TaskState.NEW, message },
  });
}

/** Adds a task whose ID is the number of tasks: two decisions on the same state would conflict. */
const addNext: Decide<string> = (current) => {
  const id = `t${current.tasks.size}`;
  return { changes: [{ kind: "put-task", task: task(id) }], result: id };
};

describe("Writer", () => {
  it("writes a change before later decisions without changes have taken long", async () => {
    let nowMs = 0;
    const writer = await startWriter(
      {},
      {
        nowMs: () => nowMs,
        after: (delayMs, run) => systemClock.after(delayMs, run),
      },
    );
    const first = writer.submit(addNext, never);
    const transactionsBefore: number[] = [];
    const later = Array.from({ length: 5 }, () =>
      writer.submit(() => {
        nowMs += 6;
        transactionsBefore.push(outcomes.length);
        return { changes: [], result: undefined };
      }, never),
    );
    await Promise.all([first, ...later]);
    expect(transactionsBefore).toEqual([0, 0, 1, 1, 1]);
  });

  it("reports a committed write as successful although a listener of the state throws", async () => {
    const writer = await startWriter();
    const failure = new Error("listener failed");
    state.onChange(() => {
      throw failure;
    });
    await expect(writer.submit(addNext, never)).resolves.toBe("t0");
    expect(listenerErrors).toEqual([failure]);
  });

  it("makes each decision on a state that includes all earlier ones, and writes many in one transaction", async () => {
    const writer = await startWriter();
    const ids = await Promise.all(Array.from({ length: 50 }, () => writer.submit(addNext, never)));
    expect(ids).toEqual(Array.from({ length: 50 }, (_, i) => `t${i}`));
    expect(outcomes.length).toBeLessThan(5);
    expect(state.tasks.size).toBe(50);
  });

  it("rejects a decision that exceeds the limits of the store, and writes those that wait with it", async () => {
    const writer = await startWriter();
    const tooLarge: Decide<void> = () => ({
      changes: [{ kind: "put-task", task: task("large", "x".repeat(2_000_000)) }],
      result: undefined,
    });
    const results = await Promise.allSettled([
      writer.submit(addNext, never),
      writer.submit(tooLarge, never),
      writer.submit(addNext, never),
    ]);
    expect(results).toMatchObject([
      { status: "fulfilled", value: "t0" },
      { status: "rejected", reason: { code: "BERTH_STORE_LIMIT" } },
      { status: "fulfilled", value: "t1" },
    ]);
  });

  it("leaves room for the fence in a transaction whose changes are as large as the store allows", async () => {
    const writer = await startWriter();
    const empty = encodeChange({ kind: "put-task", task: task("a", "x") }).bytes;
    const message = "x".repeat(MAX_TXN_BYTES / 2 - empty + 1);
    const changes: readonly Change[] = ["a", "b"].map((id) => ({
      kind: "put-task",
      task: task(id, message),
    }));
    await expect(writer.submit(() => ({ changes, result: true }), never)).resolves.toBe(true);
  });

  it("shows changes to listeners only after they are in the store", async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const writer = await startWriter({
      txn: async (request, signal) => {
        await held;
        return memory.txn(request, signal);
      },
    });
    const seen: number[] = [];
    state.onChange(() => seen.push(state.tasks.size));
    const done = writer.submit(addNext, never);
    await new Promise((resolve) => setImmediate(resolve));
    expect(state.tasks.size).toBe(0);
    release();
    await done;
    expect(seen).toEqual([1]);
  });

  it("splits a decision that exceeds one transaction", async () => {
    const writer = await startWriter();
    const tasks = Array.from({ length: 250 }, (_, i) => task(`t${i}`));
    await writer.submit(
      () => ({ changes: tasks.map((one) => ({ kind: "put-task", task: one })), result: undefined }),
      never,
    );
    expect(outcomes).toEqual(["committed 99", "committed 99", "committed 52"]);
    expect(state.tasks.size).toBe(250);
  });

  it("reports once when a backlog has been written", async () => {
    const writer = await startWriter();
    let clearedCount = 0;
    writer.onBacklogCleared(() => {
      clearedCount += 1;
      expect(writer.hasBacklog).toBe(false);
    });
    await writer.submit(addNext, never);
    await new Promise((resolve) => setImmediate(resolve));
    expect(clearedCount).toBe(0);
    const addMany = (count: number) => (current: ClusterState) => {
      const first = current.tasks.size;
      const tasks = Array.from({ length: count }, (_, i) => task(`t${first + i}`));
      return { changes: tasks.map((one) => ({ kind: "put-task" as const, task: one })), result: undefined };
    };
    const seen: boolean[] = [];
    state.onChange(() => seen.push(writer.hasBacklog));
    const cleared = new Promise<void>((resolve) => writer.onBacklogCleared(resolve));
    await Promise.all([1, 2].map(() => writer.submit(addMany(MAX_CHANGES * 100), never)));
    await cleared;
    expect(seen[0]).toBe(true);
    expect(clearedCount).toBe(1);
  });

  it("decides again after a record was changed from outside", async () => {
    const writer = await startWriter();
    await writer.submit(addNext, never);
    const foreign = JSON.stringify(Task.toJSON(task("t0", "by hand")));
    await memory.txn(
      { ops: [{ kind: "put", key: recordKey("task", { serviceId: "s", taskId: "t0" }), value: foreign }] },
      never,
    );
    const seen = await writer.submit((current) => {
      const known = current.tasks.get("t0")?.status?.message ?? "";
      return { changes: [{ kind: "put-task", task: task("t0", `${known}, then by us`) }], result: known };
    }, never);
    expect(seen).toBe("by hand");
    expect(outcomes.slice(1)).toEqual(["refused 1", "committed 1"]);
    expect(state.tasks.get("t0")?.status?.message).toBe("by hand, then by us");
  });

  it.each([true, false])(
    "reads the records back when the outcome is unknown (committed: %s)",
    async (wasCommitted) => {
      let isFirst = true;
      const writer = await startWriter({
        txn: async (request: TxnRequest, signal) => {
          if (!isFirst) return memory.txn(request, signal);
          isFirst = false;
          if (wasCommitted) await memory.txn(request, signal);
          const cause = new BerthError({ code: "BERTH_ETCD_UNAVAILABLE", message: "gone" });
          return { kind: "unknown", cause };
        },
      });
      const put: Decide<boolean> = (current) => {
        const isThere = current.tasks.get("t0") !== undefined;
        return { changes: isThere ? [] : [{ kind: "put-task", task: task("t0") }], result: isThere };
      };
      expect(await writer.submit(put, never)).toBe(wasCommitted);
      expect(state.tasks.size).toBe(1);
      expect(await readOne(memory, recordKey("task", { serviceId: "s", taskId: "t0" }), never)).toBeDefined();
    },
  );

  it("writes nothing when another server is the leader", async () => {
    const writer = await startWriter();
    await memory.txn({ ops: [{ kind: "delete", key: LEADER_KEY }] }, never);
    await memory.txn({ ops: [{ kind: "put", key: LEADER_KEY, value: "another" }] }, never);
    await expect(writer.submit(addNext, never)).rejects.toMatchObject({ code: "BERTH_NOT_LEADER" });
    expect(await readOne(memory, recordKey("task", { serviceId: "s", taskId: "t0" }), never)).toBeUndefined();
    expect(state.tasks.size).toBe(0);
  });

  it("drops a decision whose caller is gone, and a decision that throws fails alone", async () => {
    const writer = await startWriter();
    const gone = new AbortController();
    const dropped = writer.submit(addNext, gone.signal);
    gone.abort(new Error("caller gone"));
    const refused = writer.submit((): never => {
      throw new BerthError({ code: "BERTH_INPUT_INVALID", message: "no" });
    }, never);
    const good = writer.submit(addNext, never);
    await expect(dropped).rejects.toThrow("caller gone");
    await expect(refused).rejects.toMatchObject({ code: "BERTH_INPUT_INVALID" });
    expect(await good).toBe("t0");
  });

  it("fails the waiting decisions when its term ends", async () => {
    const writer = await startWriter({ txn: () => new Promise(() => {}) });
    over.abort(new Error("term over"));
    await expect(writer.submit(addNext, over.signal)).rejects.toThrow("term over");
  });

  it("rejects a decision at once with BERTH_NOT_LEADER after its term has ended", async () => {
    const writer = await startWriter();
    over.abort(new Error("term over"));
    await running;
    const outcome = writer.submit(addNext, never).catch((error: unknown) => error);
    const timeout = new Promise((resolve) => setTimeout(resolve, 100, "still waiting"));
    expect(await Promise.race([outcome, timeout])).toMatchObject({ code: "BERTH_NOT_LEADER" });
  });
});
