import { TaskState } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { type FakeControlHandlers, readyNode, webService, webTask } from "../testing/fake-control.js";
import { berth } from "../testing/run-berth.js";

describe("lists", () => {
  const handlers: FakeControlHandlers = {
    listServices: async () => ({ services: [webService()] }),
    listNodes: async () => ({ nodes: [readyNode()] }),
    listTasks: async () => ({
      tasks: [
        webTask(),
        webTask({
          id: "tasktwo",
          slot: 2,
          nodeId: "",
          status: {
            state: TaskState.NEW,
            message: "2 nodes lack 1.5 GiB memory, 1 node is drained",
            sinceMs: Date.now(),
          },
        }),
      ],
    }),
  };

  test("stack ls lists stacks", async () => {
    expect((await berth("stack ls", handlers)).out).toMatchInlineSnapshot(`
      "NAME   SERVICES
      shop   1
      "
    `);
  });

  test("service ls lists services", async () => {
    expect((await berth("service ls", handlers)).out).toMatchInlineSnapshot(`
      "ID             NAME       MODE         REPLICAS   IMAGE        PORTS
      svcwebxxxxxx   shop_web   replicated   2/2        nginx:1.27   *:8080->80/tcp
      "
    `);
  });

  test("service ps shows why a task has no node", async () => {
    expect((await berth("service ps shop_web --no-trunc", handlers)).out).toMatchInlineSnapshot(`
      "ID                 NAME         IMAGE        NODE     DESIRED STATE   CURRENT STATE                    ERROR                                            PORTS
      taskonexxxxxxxxx   shop_web.1   nginx:1.27   host-1   Running         Running about a minute ago
      tasktwo            shop_web.2   nginx:1.27            Running         Pending less than a second ago   2 nodes lack 1.5 GiB memory, 1 node is drained
      "
    `);
  });

  test("service ps shows what a task on a node waits for before it starts", async () => {
    const message =
      "waiting for network shop_default: Docker cannot create networks: its firewall rules are gone; restart Docker";
    const waiting = webTask({ status: { state: TaskState.PREPARING, message, sinceMs: Date.now() } });
    const listTasks: FakeControlHandlers["listTasks"] = async () => ({ tasks: [waiting] });
    expect((await berth("service ps shop_web", { ...handlers, listTasks })).out).toContain(message);
  });

  test("service ps lists earlier tasks of a slot below the current one", async () => {
    const tasks = [
      webTask({ id: "old", createdAtMs: 1, status: { state: TaskState.FAILED, exitCode: 137, sinceMs: 1 } }),
      webTask({ id: "new", createdAtMs: 2 }),
    ];
    const { out } = await berth("service ps shop_web -o json", {
      ...handlers,
      listTasks: async () => ({ tasks }),
    });
    const states = JSON.parse(out).map((task: Record<string, unknown>) => [
      task.id,
      task.desiredState,
      task.exitCode,
    ]);
    expect(states).toEqual([
      ["new", "running", null],
      ["old", "shutdown", 137],
    ]);
  });

  test("service ps lists a running task above a replacement that failed", async () => {
    const tasks = [
      webTask({ id: "runs", createdAtMs: 1 }),
      webTask({ id: "failed", createdAtMs: 2, status: { state: TaskState.FAILED, exitCode: 1, sinceMs: 1 } }),
    ];
    const { out } = await berth("service ps shop_web -q", {
      ...handlers,
      listTasks: async () => ({ tasks }),
    });
    expect(out).toBe("runs\nfailed\n");
  });

  test("node ls lists nodes", async () => {
    expect((await berth("node ls", handlers)).out).toMatchInlineSnapshot(`
      "ID      HOSTNAME   STATUS   AVAILABILITY   ADDRESS    TASKS   ENGINE VERSION   BERTH VERSION
      node1   host-1     Ready    Active         10.0.0.1   2       20.10.24
      "
    `);
  });

  test("-q prints IDs and -o json prints the names of states", async () => {
    expect((await berth("service ls -q", handlers)).out).toBe("svcwebxxxxxxxxxxxx\n");
    const [task] = JSON.parse((await berth("stack ps shop -o json", handlers)).out);
    expect(task).toMatchObject({
      name: "shop_web.1",
      node: "host-1",
      state: "running",
      desiredState: "running",
    });
    const [node] = JSON.parse((await berth("-o json node ls", handlers)).out);
    expect(node).toMatchObject({ hostname: "host-1", status: "ready", availability: "active" });
  });

  test("--filter selects rows and rejects unknown names", async () => {
    expect((await berth("service ls -q --filter mode=global", handlers)).out).toBe("");
    expect((await berth("service ls -q -f label=team=a -f name=web", handlers)).out).toBe(
      "svcwebxxxxxxxxxxxx\n",
    );
    const { code, err } = await berth("service ls --filter color=red", handlers);
    expect([code, err]).toMatchInlineSnapshot(`
      [
        2,
        "error: --filter: invalid filter "color=red"; use NAME=VALUE with id, name, mode, label, stack
      (BERTH_INPUT_INVALID)
      ",
      ]
    `);
  });

  test("--filter rejects values that no row can have", async () => {
    const { code, err } = await berth("service ls --filter mode=globl", handlers);
    expect([code, err]).toMatchInlineSnapshot(`
      [
        2,
        "error: --filter: invalid mode "globl"; use replicated, global, replicated-job, global-job; did you mean "global"?
      (BERTH_INPUT_INVALID)
      ",
      ]
    `);
    expect((await berth("node ls -f status=donw", handlers)).err).toContain('did you mean "down"?');
    expect((await berth("service ps -f desired-state=runing shop_web", handlers)).code).toBe(2);
  });

  test("a stack that does not exist is an error", async () => {
    const { code, err } = await berth("stack ps nope", {
      ...handlers,
      listServices: async () => ({ services: [] }),
    });
    expect([code, err]).toMatchInlineSnapshot(`
      [
        1,
        "error: no such stack: nope
      (BERTH_NOT_FOUND)
      ",
      ]
    `);
  });
});
