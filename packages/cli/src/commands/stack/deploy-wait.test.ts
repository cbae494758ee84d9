import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BerthError, LogEntry_Stream, TaskState } from "@berth/proto";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { InterruptedError } from "../../process/cli.js";
import {
  createWebService,
  type FakeControlHandlers,
  watchedWebService,
  watching,
  webTask,
} from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

/** The tests wait in real time, and the machine may be busy. */
vi.setConfig({ testTimeout: 60_000 });

describe("stack deploy while it waits for the tasks", () => {
  let cwd = "";
  beforeEach(async () => {
    cwd = await mkdtemp(join(tmpdir(), "berth-cli-"));
    await writeFile(join(cwd, "c.yaml"), "services: { web: { image: nginx } }\n");
  });
  afterEach(() => rm(cwd, { recursive: true }));

  test("fails with the reasons when tasks keep crashing", async () => {
    const crashed = (id: string, restarts: number) =>
      watchedWebService({ running: 0, converged: false }, [
        webTask({
          id,
          restarts,
          status: { state: TaskState.FAILED, exitCode: 1, message: "no such file: app.js" },
        }),
      ]);
    const handlers: FakeControlHandlers = {
      deployStack: createWebService,
      watchServices: watching(crashed("t1", 0), crashed("t2", 1), crashed("t3", 2)),
      streamLogs: async function* () {
        const line = { taskId: "t3", serviceName: "shop_web", slot: 1, nodeHostname: "host-1" };
        const chunk = {
          stream: LogEntry_Stream.STDERR,
          timeNs: "1",
          line: Buffer.from("Cannot find app.js\n"),
        };
        yield { message: { $case: "line", value: { ...line, entry: chunk } } };
      },
    };
    const { code, err } = await berth("stack deploy -c c.yaml shop", handlers, { cwd });
    expect([code, err]).toMatchInlineSnapshot(`
      [
        1,
        "error: tasks keep failing; berth continues to restart them, but they are not expected to recover:
        shop_web: 0 of 2 tasks running
          shop_web.1: failed: exit code 1: no such file: app.js (failed 3 times)
      Last output of shop_web: Cannot find app.js
      For more output, run: berth service logs SERVICE
      (BERTH_TASK_FAILED)
      ",
      ]
    `);
  });

  test("lists the missing tasks at the timeout", async () => {
    const waiting = watchedWebService({ running: 1, converged: false }, [
      webTask(),
      webTask({
        id: "t2",
        slot: 2,
        status: { state: TaskState.NEW, message: "2 nodes lack 1.5 GiB memory" },
      }),
    ]);
    const handlers = { deployStack: createWebService, watchServices: watching(waiting) };
    const { code, err } = await berth("stack deploy -c c.yaml --timeout 1s shop", handlers, { cwd });
    expect([code, err]).toMatchInlineSnapshot(`
      [
        1,
        "error: the deployment of shop did not converge within 1 s; it continues in the background:
        shop_web: 1 of 2 tasks running
          shop_web.2: pending: 2 nodes lack 1.5 GiB memory
      (BERTH_NOT_CONVERGED)
      ",
      ]
    `);
  });

  test("Ctrl-C stops waiting, not the deployment, and exits with code 130", async () => {
    const interrupt = new AbortController();
    const handlers: FakeControlHandlers = {
      deployStack: createWebService,
      watchServices: (request, context) => {
        setTimeout(() => interrupt.abort(new InterruptedError("")), 100);
        return watching(watchedWebService({ running: 0, converged: false }))(request, context);
      },
    };
    const { code, err } = await berth("stack deploy -c c.yaml shop", handlers, {
      cwd,
      signal: interrupt.signal,
    });
    expect([code, err]).toMatchInlineSnapshot(`
      [
        130,
        "Stopped waiting. The deployment of shop continues in the background; check it with berth stack ps or berth service ps.
      ",
      ]
    `);
  });

  test("reconnects after a lost connection", async () => {
    let calls = 0;
    const handlers: FakeControlHandlers = {
      deployStack: createWebService,
      watchServices: (request, context) => {
        calls += 1;
        if (calls === 1) throw new BerthError({ code: "BERTH_NO_LEADER", message: "no server leads" });
        return watching(watchedWebService({}))(request, context);
      },
    };
    const { code, out } = await berth("stack deploy -c c.yaml shop", handlers, { cwd });
    expect(code).toBe(0);
    expect(out).toContain("Connection lost, reconnecting: no server leads");
  });
});
