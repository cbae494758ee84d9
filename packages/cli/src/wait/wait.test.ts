import {
  RestartPolicy,
  RestartPolicy_Condition,
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

const SERVICE = { id: "svcwebxxxxxxxxxxxx", name: "shop_web" };

function message(summary: Parameters<typeof webService>[0], tasks: readonly Task[]): WatchServicesResponse {
  return {
    services: [{ serviceId: SERVICE.id, removed: false, summary: webService(summary), tasks: [...tasks] }],
  };
}

const unsettled = { running: 0, converged: false };
const failedTask = (id: string, change = {}) =>
  webTask({ id, status: { state: TaskState.FAILED, exitCode: 1, message: "boom" }, ...change });

function after(...messages: readonly (readonly [number, WatchServicesResponse])[]): Progress {
  return messages.reduce(
    (progress, [atMs, next]) => applyUpdate(progress, next, atMs),
    initialProgress([SERVICE]),
  );
}

describe("decide", () => {
  test("waits for news while nothing is known", () => {
    expect(evaluateWait(initialProgress([SERVICE]), 0)).toEqual({ kind: "wait", untilMs: undefined });
  });

  test("holds what runs for half a second: a program with bad settings ends by then", () => {
    const progress = after([1_000, message({}, [webTask()])]);
    expect(evaluateWait(progress, 1_000)).toEqual({ kind: "wait", untilMs: 1_500 });
    expect(evaluateWait(progress, 1_500)).toEqual({ kind: "done" });
  });

  test("starts the hold anew when something fell over meanwhile, and then holds longer", () => {
    const progress = after(
      [1_000, message({}, [webTask()])],
      [1_200, message(unsettled, [failedTask("t1")])],
      [1_300, message({}, [webTask({ id: "t2", restarts: 1 })])],
    );
    expect(evaluateWait(progress, 1_300)).toEqual({ kind: "wait", untilMs: 6_300 });
  });

  test("believes a health check at once", () => {
    const summary = webService();
    const container = summary.service?.spec?.task?.container;
    if (container !== undefined) container.healthcheck = { ...HEALTHCHECK, test: ["CMD", "true"] };
    expect(evaluateWait(after([1_000, message(summary, [webTask()])]), 1_000)).toEqual({ kind: "done" });
  });

  test("gives up on a slot that failed three times, after the others had time to say why", () => {
    const failing = [1, 2, 3].map((n) => [n * 1_000, message(unsettled, [failedTask(`t${n}`)])] as const);
    expect(evaluateWait(after(...failing.slice(0, 2)), 9_000)).toEqual({ kind: "wait", untilMs: undefined });
    expect(evaluateWait(after(...failing), 5_999)).toEqual({ kind: "wait", untilMs: 6_000 });
    expect(evaluateWait(after(...failing), 6_000)).toEqual({ kind: "hopeless" });
  });

  test.each([
    ["none allows no other attempt", { condition: RestartPolicy_Condition.NONE }, 0, "hopeless"],
    [
      "any has used up its attempts",
      { condition: RestartPolicy_Condition.ANY, maxAttempts: 1 },
      1,
      "hopeless",
    ],
    ["any has attempts left", { condition: RestartPolicy_Condition.ANY, maxAttempts: 2 }, 1, "wait"],
  ])("gives up on a failed slot when its restart policy does: %s", (_what, policy, restarts, kind) => {
    const summary = webService(unsettled);
    const task = summary.service?.spec?.task;
    if (task !== undefined) task.restart = RestartPolicy.fromPartial(policy);
    const progress = after([1_000, message(summary, [failedTask("t1", { restarts })])]);
    expect(evaluateWait(progress, 4_000).kind).toBe(kind);
  });

  test("counts a failure once however often it is told, and tasks of old versions never", () => {
    const again = [1, 2, 3, 4].map((n) => [n, message(unsettled, [failedTask("same")])] as const);
    expect(evaluateWait(after(...again), 99_000).kind).toBe("wait");
    const old = [1, 2, 3].map(
      (n) => [n, message(unsettled, [failedTask(`t${n}`, { specVersion: 0 })])] as const,
    );
    expect(evaluateWait(after(...old), 99_000).kind).toBe("wait");
  });

  test("takes the server's count of restarts from before the wait", () => {
    expect(
      evaluateWait(after([0, message(unsettled, [failedTask("t9", { restarts: 7 })])]), 3_000).kind,
    ).toBe("hopeless");
  });

  test("does not give up on a slot that failed often but runs now, while others still start", () => {
    const tasks = [
      webTask({ restarts: 5 }),
      webTask({ id: "b", slot: 2, status: { state: TaskState.STARTING } }),
    ];
    expect(evaluateWait(after([0, message({ running: 1, converged: false }, tasks)]), 99_000).kind).toBe(
      "wait",
    );
  });

  test("is done at once when all is gone", () => {
    const gone = { services: [{ serviceId: SERVICE.id, removed: true, summary: undefined, tasks: [] }] };
    expect(evaluateWait(after([0, gone]), 0)).toEqual({ kind: "done" });
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

test("explainUnsettled puts tasks with one reason together, the worst first", () => {
  const waiting = (id: string, slot: number) =>
    webTask({ id, slot, status: { state: TaskState.NEW, message: "2 nodes lack 1.5 GiB memory" } });
  const tasks = [waiting("a", 1), waiting("b", 2), failedTask("c", { slot: 3, restarts: 4 })];
  expect(explainUnconverged(after([0, message({ ...unsettled, desired: 3 }, tasks)]))).toEqual([
    "  shop_web: 0 of 3 tasks running",
    "    shop_web.3: failed: exit code 1: boom (failed 5 times)",
    "    shop_web.1 and 1 more: waits for a node: 2 nodes lack 1.5 GiB memory",
  ]);
});

test("explainUnsettled tells of a service that is waited for, not of a node", () => {
  const held = webTask({ status: { state: TaskState.NEW, message: "waiting for shop_db: healthy" } });
  const progress = after([0, message(unsettled, [held])]);
  expect(explainUnconverged(progress)[1]).toBe("    shop_web.1: waiting for shop_db: healthy");
});

test("explainUnsettled keeps the reason of a failure while the next attempt starts", () => {
  const next = webTask({ id: "t2", restarts: 1, status: { state: TaskState.ASSIGNED } });
  const progress = after([0, message(unsettled, [failedTask("t1")])], [1, message(unsettled, [next])]);
  expect(explainUnconverged(progress)[1]).toBe("    shop_web.1: failed: exit code 1: boom; now assigned");
});

describe("renderProgress", () => {
  test("shows each service in one line", () => {
    const tasks = [webTask(), webTask({ id: "b", slot: 2, status: { state: TaskState.STARTING } })];
    expect(renderProgress(after([0, message({ running: 1, converged: false }, tasks)]), 80)).toEqual([
      "shop_web  █████░░░░░  1/2 starting 1",
    ]);
  });

  test("is never wider than the terminal or 80 columns, and never longer than a screen", () => {
    const many = Array.from({ length: 50 }, (_, n) => ({
      id: `${n}`,
      name: `a-very-long-service-name-${n}`.repeat(3),
    }));
    const tasks = [webTask({ status: { state: TaskState.REJECTED, message: "no such image ".repeat(20) } })];
    const progress = many.reduce(
      (state, { id }) =>
        applyUpdate(
          state,
          { services: [{ serviceId: id, removed: false, summary: webService(unsettled), tasks }] },
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

test("LiveView draws over its last lines, also when there are fewer now", () => {
  const written: string[] = [];
  let nowMs = 0;
  const view = new LiveView({ write: (text) => written.push(text), isTty: true, columns: 80 }, () => nowMs);
  view.draw(["a", "b"]);
  view.draw(["skipped: too soon"]);
  nowMs = 1_000;
  view.draw(["c"]);
  expect(written).toEqual(["\x1b[2Ka\n\x1b[2Kb\n", "\x1b[2A\r\x1b[2Kc\n\x1b[2K\n"]);
});
