import {
  RestartPolicy,
  RestartPolicy_Condition,
  Rollout,
  Rollout_State,
  type Task,
  TaskState,
  type WatchServicesResponse,
} from "@berth/proto";
import { describe, expect, test } from "vitest";
import { LiveView } from "../output/live-view.js";
import { webService, webTask } from "../testing/fake-control.js";
import { evaluateWait } from "./evaluate-wait.js";
import { explainUnconverged } from "./explain.js";
import { applyUpdate, initialProgress, type Progress } from "./progress.js";
import { renderProgress } from "./render-progress.js";

const SERVICE = { id: "svcwebxxxxxxxxxxxx", name: "shop_web", version: 1 };

function message(summary: Parameters<typeof webService>[0], tasks: readonly Task[]): WatchServicesResponse {
  return {
    services: [{ serviceId: SERVICE.id, removed: false, summary: webService(summary), tasks: [...tasks] }],
  };
}

const unconverged = { running: 0, converged: false };
const failedTask = (id: string, change = {}) =>
  webTask({ id, status: { state: TaskState.FAILED, exitCode: 1, message: "boom" }, ...change });

function after(...messages: readonly (readonly [number, WatchServicesResponse])[]): Progress {
  return messages.reduce(
    (progress, [atMs, next]) => applyUpdate(progress, next, atMs),
    initialProgress([SERVICE]),
  );
}

describe("evaluateWait", () => {
  test("waits for the first message", () => {
    expect(evaluateWait(initialProgress([SERVICE]), 0)).toEqual({ kind: "wait", untilMs: undefined });
  });

  test("waits for the removal of a service that still runs", () => {
    const { id, name } = SERVICE;
    const running = applyUpdate(initialProgress([{ id, name }]), message({}, [webTask()]), 1_000);
    expect(evaluateWait(running, 9_000)).toEqual({ kind: "wait", untilMs: undefined });
    const removal = { services: [{ serviceId: id, removed: true, summary: undefined, tasks: [] }] };
    expect(evaluateWait(applyUpdate(running, removal, 9_000), 9_000)).toEqual({ kind: "converged" });
  });

  test("waits for the removal of a service whose update was rolled back and whose tasks keep failing", () => {
    const { id, name } = SERVICE;
    const summary = webService(unconverged);
    const rolledBack = { state: Rollout_State.ROLLBACK_COMPLETED, fromVersion: 2, toVersion: 1 };
    if (summary.service !== undefined) summary.service.rollout = Rollout.fromPartial(rolledBack);
    const failing = [1, 2, 3, 4].map((n) => message(summary, [failedTask(`t${n}`)]));
    const progress = failing.reduce(
      (before, next, index) => applyUpdate(before, next, index * 1_000),
      initialProgress([{ id, name }]),
    );
    expect(evaluateWait(progress, 60_000)).toEqual({ kind: "wait", untilMs: undefined });
  });

  test("requires tasks to run for half a second, within which a program with invalid settings exits", () => {
    const progress = after([1_000, message({}, [webTask()])]);
    expect(evaluateWait(progress, 1_000)).toEqual({ kind: "wait", untilMs: 1_500 });
    expect(evaluateWait(progress, 1_500)).toEqual({ kind: "converged" });
  });

  test("restarts the stability period with a longer one after a failure", () => {
    const progress = after(
      [1_000, message({}, [webTask()])],
      [1_200, message(unconverged, [failedTask("t1")])],
      [1_300, message({}, [webTask({ id: "t2", restarts: 1 })])],
    );
    expect(evaluateWait(progress, 1_300)).toEqual({ kind: "wait", untilMs: 6_300 });
  });

  test("needs no stability period with a health check", () => {
    const summary = webService();
    const container = summary.service?.spec?.task?.container;
    if (container !== undefined) container.healthcheck = { ...HEALTHCHECK, test: ["CMD", "true"] };
    expect(evaluateWait(after([1_000, message(summary, [webTask()])]), 1_000)).toEqual({ kind: "converged" });
  });

  test("fails on a slot that failed three times, after a period to collect the reasons of other slots", () => {
    const failing = [1, 2, 3].map((n) => [n * 1_000, message(unconverged, [failedTask(`t${n}`)])] as const);
    expect(evaluateWait(after(...failing.slice(0, 2)), 9_000)).toEqual({ kind: "wait", untilMs: undefined });
    expect(evaluateWait(after(...failing), 5_999)).toEqual({ kind: "wait", untilMs: 6_000 });
    expect(evaluateWait(after(...failing), 6_000)).toEqual({ kind: "failed" });
  });

  test.each([
    ["none allows no other attempt", { condition: RestartPolicy_Condition.NONE }, 0, "failed"],
    ["any has used up its attempts", { condition: RestartPolicy_Condition.ANY, maxAttempts: 1 }, 1, "failed"],
    ["any has attempts left", { condition: RestartPolicy_Condition.ANY, maxAttempts: 2 }, 1, "wait"],
  ])("fails when the restart policy allows no further attempt: %s", (_what, policy, restarts, kind) => {
    const summary = webService(unconverged);
    const task = summary.service?.spec?.task;
    if (task !== undefined) task.restart = RestartPolicy.fromPartial(policy);
    const progress = after([1_000, message(summary, [failedTask("t1", { restarts })])]);
    expect(evaluateWait(progress, 4_000).kind).toBe(kind);
  });

  test("counts each failed task once, and ignores tasks of old versions", () => {
    const repeated = [1, 2, 3, 4].map((n) => [n, message(unconverged, [failedTask("same")])] as const);
    expect(evaluateWait(after(...repeated), 99_000).kind).toBe("wait");
    const old = [1, 2, 3].map(
      (n) => [n, message(unconverged, [failedTask(`t${n}`, { specVersion: 0 })])] as const,
    );
    expect(evaluateWait(after(...old), 99_000).kind).toBe("wait");
  });

  test("includes restarts from before the wait", () => {
    expect(
      evaluateWait(after([0, message(unconverged, [failedTask("t9", { restarts: 7 })])]), 3_000).kind,
    ).toBe("failed");
  });

  test("does not fail on a slot that failed often but runs now", () => {
    const tasks = [
      webTask({ restarts: 5 }),
      webTask({ id: "b", slot: 2, status: { state: TaskState.STARTING } }),
    ];
    expect(evaluateWait(after([0, message({ running: 1, converged: false }, tasks)]), 99_000).kind).toBe(
      "wait",
    );
  });

  test("converges at once when all services are removed", () => {
    const gone = { services: [{ serviceId: SERVICE.id, removed: true, summary: undefined, tasks: [] }] };
    expect(evaluateWait(after([0, gone]), 0)).toEqual({ kind: "converged" });
  });
});

const HEALTHCHECK = {
  test: [],
  intervalMs: 0,
  timeoutMs: 0,
  startPeriodMs: 0,
  retries: 0,
  startIntervalMs: 0,
};

test("explainUnconverged groups tasks by reason, the slots with most failures first", () => {
  const waiting = (id: string, slot: number) =>
    webTask({ id, slot, status: { state: TaskState.NEW, message: "2 nodes lack 1.5 GiB memory" } });
  const tasks = [waiting("a", 1), waiting("b", 2), failedTask("c", { slot: 3, restarts: 4 })];
  expect(explainUnconverged(after([0, message({ ...unconverged, desired: 3 }, tasks)]))).toEqual([
    "  shop_web: 0 of 3 tasks running",
    "    shop_web.3: failed: exit code 1: boom (failed 5 times)",
    "    shop_web.1 and 1 more: pending: 2 nodes lack 1.5 GiB memory",
  ]);
});

test("explainUnconverged shows which dependency a pending task waits for", () => {
  const held = webTask({ status: { state: TaskState.NEW, message: "waiting for shop_db: healthy" } });
  const progress = after([0, message(unconverged, [held])]);
  expect(explainUnconverged(progress)[1]).toBe("    shop_web.1: pending: waiting for shop_db: healthy");
});

test("explainUnconverged keeps the reason of a failure while the next attempt starts", () => {
  const next = webTask({ id: "t2", restarts: 1, status: { state: TaskState.ASSIGNED } });
  const progress = after([0, message(unconverged, [failedTask("t1")])], [1, message(unconverged, [next])]);
  expect(explainUnconverged(progress)[1]).toBe("    shop_web.1: failed: exit code 1: boom; now assigned");
});

describe("renderProgress", () => {
  test("prints one line per service", () => {
    const tasks = [webTask(), webTask({ id: "b", slot: 2, status: { state: TaskState.STARTING } })];
    expect(renderProgress(after([0, message({ running: 1, converged: false }, tasks)]), 80)).toEqual([
      "shop_web  █████░░░░░  1/2 starting 1",
    ]);
  });

  test("stays within the terminal, 80 columns and 20 lines", () => {
    const many = Array.from({ length: 50 }, (_, n) => ({
      id: `${n}`,
      name: `a-very-long-service-name-${n}`.repeat(3),
    }));
    const tasks = [webTask({ status: { state: TaskState.REJECTED, message: "no such image ".repeat(20) } })];
    const progress = many.reduce(
      (state, { id }) =>
        applyUpdate(
          state,
          { services: [{ serviceId: id, removed: false, summary: webService(unconverged), tasks }] },
          0,
        ),
      initialProgress(many),
    );
    for (const [columns, limit] of [
      [40, 40],
      [80, 80],
      [200, 80],
    ] as const) {
      const lines = renderProgress(progress, columns);
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(limit);
      expect(lines).toHaveLength(20);
      expect(lines.at(-1)).toBe("… and 31 more services");
    }
  });
});

test("LiveView redraws its last lines in place, also when there are fewer of them", () => {
  const written: string[] = [];
  let nowMs = 0;
  const view = new LiveView({ writeRaw: (text) => written.push(text) }, () => nowMs);
  view.draw(["a", "b"]);
  view.draw(["skipped: too soon"]);
  nowMs = 1_000;
  view.draw(["c"]);
  expect(written).toEqual(["\x1b[2Ka\n\x1b[2Kb\n", "\x1b[2A\r\x1b[2Kc\n\x1b[2K\n"]);
});
