import { Health, TaskState } from "@berth/proto";
import { expect, test } from "vitest";
import { type FakeControlHandlers, webService, webTask } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

const HOUR_MS = 3_600_000;

function handlers(): FakeControlHandlers {
  const now = Date.now();
  const status = webTask().status;
  const task = (id: string, createdAtMs: number, changes: Partial<NonNullable<typeof status>>) => ({
    ...webTask(),
    id,
    createdAtMs,
    status: status && { ...status, ...changes },
  });
  const tasks = [
    task("task20000000000000", now - HOUR_MS, {
      state: TaskState.RUNNING,
      sinceMs: now - HOUR_MS,
      runningSinceMs: now - 120_000,
      health: Health.HEALTHY,
    }),
    task("task10000000000000", now - 3 * HOUR_MS, {
      state: TaskState.FAILED,
      sinceMs: now - 2 * HOUR_MS,
      exitCode: 1,
    }),
  ];
  return {
    listTasks: async () => ({ tasks }),
    listServices: async () => ({ services: [webService()] }),
    listNodes: async () => ({ nodes: [] }),
  };
}

test("ps lists running tasks, and all of them with -a or a filter for a state", async () => {
  const [running, all, failed, newest] = await Promise.all(
    ["ps", "ps -a", "ps -f status=failed -q", "ps -n 1 -q"].map((line) => berth(line, handlers())),
  );
  expect([running?.out, all?.out, failed?.out, newest?.out]).toMatchInlineSnapshot(`
    [
      "TASK ID        IMAGE        COMMAND   CREATED             STATUS                   PORTS   NODE    NAMES
    task20000000   nginx:1.27             about an hour ago   Up 2 minutes (healthy)           node1   shop_web.1
    ",
      "TASK ID        IMAGE        COMMAND   CREATED             STATUS                   PORTS   NODE    NAMES
    task20000000   nginx:1.27             about an hour ago   Up 2 minutes (healthy)           node1   shop_web.1
    task10000000   nginx:1.27             3 hours ago         Exited (1) 2 hours ago           node1   shop_web.1
    ",
      "task10000000000000
    ",
      "task20000000000000
    ",
    ]
  `);
});

test("ps refuses unknown filters", async () => {
  expect((await berth("ps -f color=red", handlers())).err).toMatch(/invalid filter "color=red"/);
});
