// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Compose writes its variables like this
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BerthError, type DeployStackRequest, LogChunk_Stream, TaskState } from "@berth/proto";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { InterruptedError } from "./cli.js";
import { run } from "./main.js";
import { type FakeCliOptions, fakeCli } from "./testing/fake-cli.js";
import { readyNode, startFakeControl, watching, webService, webTask } from "./testing/fake-control.js";

/** Properties and real waits on a busy machine. */
vi.setConfig({ testTimeout: 60_000 });

type Handlers = Parameters<typeof startFakeControl>[0];

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function berth(line: string, handlers: Handlers = {}, options: FakeCliOptions = {}): Promise<Result> {
  const server = await startFakeControl(handlers);
  cleanUps.push(server.close);
  const cli = fakeCli({ ...options, env: { BERTH_SERVER: server.address, ...options.env } });
  const code = await run(
    line.split(" ").filter((word) => word !== ""),
    cli,
  );
  return { code, out: cli.out(), err: cli.err() };
}

describe("lists", () => {
  const handlers: Handlers = {
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

  test("stack ls", async () => {
    expect((await berth("stack ls", handlers)).out).toMatchInlineSnapshot(`
      "NAME   SERVICES
      shop   1
      "
    `);
  });

  test("service ls", async () => {
    expect((await berth("service ls", handlers)).out).toMatchInlineSnapshot(`
      "ID             NAME       MODE         REPLICAS   IMAGE        PORTS
      svcwebxxxxxx   shop_web   replicated   2/2        nginx:1.27   *:8080->80/tcp
      "
    `);
  });

  test("service ps says why a task has no node", async () => {
    expect((await berth("service ps shop_web --no-trunc", handlers)).out).toMatchInlineSnapshot(`
      "ID                 NAME         IMAGE        NODE     DESIRED STATE   CURRENT STATE                ERROR                                            PORTS
      taskonexxxxxxxxx   shop_web.1   nginx:1.27   host-1   Running         Running about a minute ago
      tasktwo            shop_web.2   nginx:1.27            Running         New less than a second ago   2 nodes lack 1.5 GiB memory, 1 node is drained
      "
    `);
  });

  test("service ps shows what came before in a slot under what is there now", async () => {
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

  test("node ls", async () => {
    expect((await berth("node ls", handlers)).out).toMatchInlineSnapshot(`
      "ID      HOSTNAME   STATUS   AVAILABILITY   ADDRESS    TASKS   ENGINE VERSION
      node1   host-1     Ready    Active         10.0.0.1   2       20.10.24
      "
    `);
  });

  test("-q prints ids, -o json the same facts with words for states", async () => {
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

  test("--filter narrows, and an unknown one is bad input", async () => {
    expect((await berth("service ls -q --filter mode=global", handlers)).out).toBe("");
    expect((await berth("service ls -q -f label=team=a -f name=web", handlers)).out).toBe(
      "svcwebxxxxxxxxxxxx\n",
    );
    const { code, err } = await berth("service ls --filter colour=red", handlers);
    expect([code, err]).toMatchInlineSnapshot(`
      [
        2,
        "error: --filter: "colour=red" is not NAME=VALUE with one of id, name, mode, label, stack
      (BERTH_INPUT_INVALID)
      ",
      ]
    `);
  });

  test("a stack that is not there is an error", async () => {
    const { code, err } = await berth("stack ps nope", {
      ...handlers,
      listServices: async () => ({ services: [] }),
    });
    expect([code, err]).toMatchInlineSnapshot(`
      [
        1,
        "error: There is no stack "nope": no service belongs to it.
      (BERTH_NOT_FOUND)
      ",
      ]
    `);
  });
});

describe("errors", () => {
  test("a server's error keeps its text and code", async () => {
    const message = "there is no node nöde";
    const getNode: Handlers["getNode"] = async () => {
      throw new BerthError({ code: "BERTH_NOT_FOUND", message });
    };
    const { code, out, err } = await berth("node inspect nöde", { getNode });
    expect([code, out, err]).toEqual([1, "", `error: ${message}\n(BERTH_NOT_FOUND)\n`]);
    const json = await berth("node inspect nöde -o json", { getNode });
    expect(JSON.parse(json.err)).toEqual({ error: { code: "BERTH_NOT_FOUND", message, details: {} } });
  });

  test("an unreachable server is exit code 3", async () => {
    const cli = fakeCli({ env: { BERTH_SERVER: "127.0.0.1:1" } });
    expect(await run(["node", "ls"], cli)).toBe(3);
    expect(cli.err()).toContain("cannot reach the berth server at 127.0.0.1:1");
  });

  test.each([
    "stak",
    "stack depoy",
    "stack deploy x",
    "node ls --nope",
    "node update host-1",
    "node update host-1 --availability off",
    "service scale web",
    "service logs --tail x web",
    "stack deploy -c gone.yaml x",
    "--server nonsense node ls",
    "-o yaml node ls",
  ])("bad input is exit code 2: %s", async (line) => {
    const { code, out, err } = await berth(line);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatchSnapshot();
  });
});

describe("service logs", () => {
  test("prefixes lines with their task and node, and keeps the streams apart", async () => {
    const line = (text: string, stream: LogChunk_Stream) => ({
      message: {
        $case: "line" as const,
        value: {
          taskId: "taskonexxxxxxxxx",
          serviceName: "shop_web",
          slot: 1,
          nodeHostname: "host-1",
          chunk: { stream, timeNs: "1764000000123456789", line: Buffer.from(text) },
        },
      },
    });
    const streamLogs: Handlers["streamLogs"] = async function* () {
      yield line("hello", LogChunk_Stream.STDOUT);
      yield { message: { $case: "warning", value: "host-2 is down" } };
      yield line("wörld", LogChunk_Stream.STDERR);
    };
    const { code, out, err } = await berth("service logs -t shop_web", { streamLogs });
    expect(code).toBe(0);
    expect(out).toBe("2025-11-24T16:00:00.123456789Z shop_web.1.taskonexxxxx@host-1    | hello\n");
    expect(err).toBe(
      "warning: host-2 is down\n2025-11-24T16:00:00.123456789Z shop_web.1.taskonexxxxx@host-1    | wörld\n",
    );
  });
});

describe("stack deploy", () => {
  let cwd = "";
  beforeEach(async () => {
    cwd = await mkdtemp(join(tmpdir(), "berth-cli-"));
    cleanUps.push(() => rm(cwd, { recursive: true }));
    await writeFile(join(cwd, "c.yaml"), "services: { web: { image: 'nginx:${TAG}', container_name: w } }\n");
    await writeFile(join(cwd, ".env"), "TAG=1.27\n");
  });

  const created: NonNullable<Handlers["deployStack"]> = async () => ({
    services: [{ serviceId: "svcwebxxxxxxxxxxxx", name: "shop_web", kind: 1, version: 1 }],
  });
  const watched = (summary: Parameters<typeof webService>[0], tasks = [webTask()]) => ({
    services: [{ serviceId: "svcwebxxxxxxxxxxxx", removed: false, summary: webService(summary), tasks }],
  });

  test("sends the specs, follows the progress in plain lines and ends when all runs", async () => {
    const requests: DeployStackRequest[] = [];
    const { code, out, err } = await berth(
      "stack deploy -c c.yaml --prune shop",
      {
        deployStack: async (request, context) => {
          requests.push(request);
          return created(request, context);
        },
        watchServices: watching(
          watched({ running: 0, converged: false }, [webTask({ status: { state: TaskState.PREPARING } })]),
          watched({}),
        ),
      },
      { cwd },
    );
    expect([code, out, err]).toMatchInlineSnapshot(`
      [
        0,
        "Creating service shop_web
      shop_web: 0/2 preparing 1
      shop_web: 2/2 running
      Deployed shop: 1 service, 2 tasks running
      ",
        "c.yaml:1:43: warning: services.web.container_name: not supported yet: containers are named after their service and slot
      ",
      ]
    `);
    expect(requests).toMatchObject([
      {
        stack: "shop",
        prune: true,
        services: [{ name: "shop_web", task: { container: { image: "nginx:1.27" } } }],
      },
    ]);
  });

  test("waits for an election to end", async () => {
    let calls = 0;
    const deployStack: Handlers["deployStack"] = async (request, context) => {
      calls += 1;
      if (calls < 3) throw new BerthError({ code: "BERTH_NO_LEADER", message: "no server leads" });
      return created(request, context);
    };
    expect((await berth("stack deploy -c c.yaml -d shop", { deployStack }, { cwd })).code).toBe(0);
    expect(calls).toBe(3);
  });

  test("--detach returns without watching", async () => {
    const { code, out } = await berth(
      "stack deploy -c c.yaml --detach shop",
      { deployStack: created },
      { cwd },
    );
    expect([code, out]).toEqual([0, "Creating service shop_web\n"]);
  });

  test("-o json prints JSON alone on stdout", async () => {
    const handlers = { deployStack: created, watchServices: watching(watched({})) };
    const { code, out } = await berth("stack deploy -c c.yaml -o json shop", handlers, { cwd });
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      stack: "shop",
      services: [{ name: "shop_web", outcome: "created" }],
    });
  });

  test("a bad file never reaches the server", async () => {
    await writeFile(join(cwd, "bad.yaml"), "services: { web: { imag: nginx } }\n");
    const { code, out, err } = await berth("stack deploy -c bad.yaml shop", {}, { cwd });
    expect([code, out, err]).toMatchInlineSnapshot(`
      [
        2,
        "",
        "bad.yaml:1:13: services.web: the service has no image
      bad.yaml:1:20: services.web.imag: unknown key "imag". Did you mean "image"?
      error: 2 errors in bad.yaml: nothing was deployed
      (BERTH_COMPOSE_INVALID)
      ",
      ]
    `);
  });

  test("on a terminal an error shows the line with a caret", async () => {
    const stdin = "services:\n  web:\n    image: nginx\n    prots: []\n";
    const options = { cwd, stdin, isTty: true, env: { NO_COLOR: "1" } };
    const { code, err } = await berth("stack deploy -c - shop", {}, options);
    expect([code, err]).toMatchInlineSnapshot(`
      [
        2,
        "<stdin>:4:5: services.web.prots: unknown key "prots". Did you mean "ports"?
        4 |     prots: []
          |     ^^^^^
      error: 1 error in -: nothing was deployed
      (BERTH_COMPOSE_INVALID)
      ",
      ]
    `);
  });

  test("tasks that crash again and again end the wait with their reasons", async () => {
    const crashed = (id: string, restarts: number) =>
      watched({ running: 0, converged: false }, [
        webTask({
          id,
          restarts,
          status: { state: TaskState.FAILED, exitCode: 1, message: "no such file: app.js" },
        }),
      ]);
    const handlers: Handlers = {
      deployStack: created,
      watchServices: watching(crashed("t1", 0), crashed("t2", 1), crashed("t3", 2)),
      streamLogs: async function* () {
        const line = { taskId: "t3", serviceName: "shop_web", slot: 1, nodeHostname: "host-1" };
        const chunk = {
          stream: LogChunk_Stream.STDERR,
          timeNs: "1",
          line: Buffer.from("Cannot find app.js\n"),
        };
        yield { message: { $case: "line", value: { ...line, chunk } } };
      },
    };
    const { code, err } = await berth("stack deploy -c c.yaml shop", handlers, { cwd });
    expect([code, err]).toMatchInlineSnapshot(`
      [
        1,
        "c.yaml:1:43: warning: services.web.container_name: not supported yet: containers are named after their service and slot
      error: tasks fail again and again; berth keeps trying, but does not expect them to run:
        shop_web: 0 of 2 tasks running
          shop_web.1: failed: exit code 1: no such file: app.js (failed 3 times)
      Last output of shop_web: Cannot find app.js
      See more with: berth service logs SERVICE
      (BERTH_TASK_FAILED)
      ",
      ]
    `);
  });

  test("--timeout names what is missing", async () => {
    const waiting = watched({ running: 1, converged: false }, [
      webTask(),
      webTask({
        id: "t2",
        slot: 2,
        status: { state: TaskState.NEW, message: "2 nodes lack 1.5 GiB memory" },
      }),
    ]);
    const handlers = { deployStack: created, watchServices: watching(waiting) };
    const { code, err } = await berth("stack deploy -c c.yaml --timeout 200ms shop", handlers, { cwd });
    expect([code, err]).toMatchInlineSnapshot(`
      [
        1,
        "c.yaml:1:43: warning: services.web.container_name: not supported yet: containers are named after their service and slot
      error: not everything runs after 0.2 s; berth goes on with it:
        shop_web: 1 of 2 tasks running
          shop_web.2: waits for a node: 2 nodes lack 1.5 GiB memory
      (BERTH_NOT_CONVERGED)
      ",
      ]
    `);
  });

  test("Ctrl-C stops the wait, says that the deploy goes on, and is exit code 130", async () => {
    const interrupt = new AbortController();
    const handlers: Handlers = {
      deployStack: created,
      watchServices: async function* (request, context) {
        yield* watching(watched({ running: 0, converged: false }))(request, context);
        interrupt.abort(new InterruptedError(""));
      },
    };
    setTimeout(() => interrupt.abort(new InterruptedError("")), 300);
    const { code, err } = await berth("stack deploy -c c.yaml shop", handlers, {
      cwd,
      signal: interrupt.signal,
    });
    expect([code, err]).toMatchInlineSnapshot(`
      [
        130,
        "c.yaml:1:43: warning: services.web.container_name: not supported yet: containers are named after their service and slot
      Stopped waiting. The deploy of shop goes on: berth stack ps and berth service ps show how far it is.
      ",
      ]
    `);
  });

  test("a lost connection is made again until all runs", async () => {
    let calls = 0;
    const handlers: Handlers = {
      deployStack: created,
      watchServices: (request, context) => {
        calls += 1;
        if (calls === 1) throw new BerthError({ code: "BERTH_NO_LEADER", message: "no server leads" });
        return watching(watched({}))(request, context);
      },
    };
    const { code, out } = await berth("stack deploy -c c.yaml shop", handlers, { cwd });
    expect(code).toBe(0);
    expect(out).toContain("Connection lost, trying again: no server leads");
  });
});

test("stack rm waits until the last task is gone", async () => {
  const serviceId = "svcwebxxxxxxxxxxxx";
  const removing = webService({ converged: false, running: 1, desired: 0 });
  if (removing.service !== undefined) removing.service.removing = true;
  const { code, out } = await berth("stack rm shop", {
    removeServices: async () => ({ services: [{ serviceId, name: "shop_web", kind: 4, version: 1 }] }),
    watchServices: watching(
      { services: [{ serviceId, removed: false, summary: removing, tasks: [webTask()] }] },
      { services: [{ serviceId, removed: true, summary: undefined, tasks: [] }] },
    ),
  });
  expect([code, out]).toMatchInlineSnapshot(`
    [
      0,
      "Removing service shop_web
    shop_web: stopping 1
    shop_web: removed
    ",
    ]
  `);
});

test("completion offers commands, options and names that the server knows", async () => {
  const handlers: Handlers = { listServices: async () => ({ services: [webService()] }) };
  expect((await berth("__complete stack d", handlers)).out).toBe("deploy\n");
  expect((await berth("__complete service logs sh", handlers)).out).toBe("shop_web\n");
  expect((await berth("__complete service scale sh", handlers)).out).toBe("shop_web=\n");
  expect((await berth("__complete node update --av", handlers)).out).toBe("--availability\n");
  expect((await berth("__complete node inspect h", handlers)).out).toBe("");
});

test("contexts are saved, used and forgotten", async () => {
  const home = await mkdtemp(join(tmpdir(), "berth-context-"));
  cleanUps.push(() => rm(home, { recursive: true }));
  const server = await startFakeControl({ listNodes: async () => ({ nodes: [readyNode()] }) });
  cleanUps.push(server.close);
  const context = async (line: string): Promise<string> => {
    const cli = fakeCli({ env: { XDG_CONFIG_HOME: home } });
    const code = await run(line.split(" "), cli);
    return `${code} ${cli.out()}${cli.err()}`;
  };
  expect(await context(`context create lab --server ${server.address}`)).toMatch(/^0 Saved context lab/);
  expect(await context("context use lab")).toBe("0 Using context lab\n");
  expect(await context("node ls -q")).toBe("0 node1\n");
  expect(await context("context use nope")).toMatch(/^2 error: there is no context "nope": there are lab/);
  expect(await context("context rm lab")).toBe("0 Removed context lab\n");
  expect(await context("context ls")).toContain("default *   127.0.0.1:7400");
});
