import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEFAULT_HOST_FILES, DEFAULT_POLICY, TaskState } from "@berth/proto";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { CreateBody } from "../../packages/agent/src/core/docker/create-body.js";
import { TASK_LABEL } from "../../packages/agent/src/core/docker/labels.js";
import { NO_NETWORKS } from "../../packages/agent/src/core/networks/task-networks.js";
import { containerOwner } from "../../packages/agent/src/engine/container-owner.js";
import { DockerodeEngine } from "../../packages/agent/src/engine/dockerode/dockerode-engine.js";
import { TaskManager } from "../../packages/agent/src/tasks/task-manager.js";
import { FakeEngine } from "../fakes/engine/fake-engine.js";
import { MemoryTaskFiles } from "../fakes/memory-task-files.js";
import { eventually } from "../harness/eventually.js";
import { specOf, taskOf } from "./agent/specs.js";

const owner = containerOwner("key");

function bodyOf(labels: Readonly<Record<string, string>>): CreateBody {
  const HostConfig = { RestartPolicy: { Name: "no" }, NetworkMode: "default" } as const;
  return { Image: "web:1", Labels: labels, StopTimeout: 1, HostConfig };
}

describe("the Docker client with a faulty daemon", () => {
  let directory: string;
  let fake: FakeEngine;
  let engine: DockerodeEngine;
  const { signal } = new AbortController();

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "berth-engine-"));
    fake = new FakeEngine();
    await fake.listen(join(directory, "docker.sock"));
    engine = new DockerodeEngine(join(directory, "docker.sock"), owner);
  });
  afterEach(async () => {
    await fake.close();
    await rm(directory, { recursive: true });
  });

  test("a truncated response fails the call as unavailable", async () => {
    fake.faults.add("GET", /containers\/json/, { kind: "die-mid-body", body: '[{"Id":"x"' });
    await expect(engine.list({ signal })).rejects.toMatchObject({ kind: "unavailable" });
  });

  test("a call fails with the reason of its signal when the daemon stalls within a response", async () => {
    fake.faults.add("GET", /containers\/json/, { kind: "stall-mid-body", body: "[" });
    const reason = new Error("enough");
    const canceled = new AbortController();
    const listing = engine.list({ signal: canceled.signal });
    setTimeout(() => canceled.abort(reason), 50);
    await expect(listing).rejects.toBe(reason);
  });

  test("an error keeps Docker's message and distinguishes a used port, a failed request and an unavailable daemon", async () => {
    const message = "driver failed: Bind for 0.0.0.0:80 failed: port is already allocated";
    fake.faults.add("POST", /start/, { kind: "status", status: 500, message });
    await expect(engine.start("x", { signal })).rejects.toMatchObject({ kind: "port-taken", message });
    fake.faults.add("POST", /start/, { kind: "status", status: 500, message: "disk quota" });
    await expect(engine.start("x", { signal })).rejects.toMatchObject({ kind: "failed" });
    fake.faults.add("POST", /start/, { kind: "break" });
    await expect(engine.start("x", { signal })).rejects.toMatchObject({ kind: "unavailable" });
  });

  test("uses the highest API version that both support and fails when there is none", async () => {
    fake.version = { Version: "29.0", ApiVersion: "1.52", MinAPIVersion: "1.44" };
    expect(await engine.connect({ signal })).toMatchObject({ apiVersion: "1.51" });
    fake.version = { Version: "19.03", ApiVersion: "1.40", MinAPIVersion: "1.12" };
    await expect(engine.connect({ signal })).rejects.toThrow(
      /19.03 supports API 1.40 at most, but berth requires 1.41/,
    );
    fake.version = { Version: "99.0", ApiVersion: "2.10", MinAPIVersion: "2.0" };
    await expect(engine.connect({ signal })).rejects.toThrow(/upgrade berth/);
  });

  test("an image that is a path of Docker's API reaches no other path", async () => {
    for (const image of ["../containers/json", "a/../../containers/json", "x?all=1", "x#", "x%2f..%2f.."]) {
      await expect(engine.imageExists(image, { signal })).rejects.toMatchObject({ kind: "invalid" });
      await expect(engine.pull(image, { signal, platform: "" })).rejects.toMatchObject({ kind: "invalid" });
    }
    expect(fake.requests.filter((request) => !request.includes("/version"))).toEqual([]);
    await engine.imageExists("localhost:5000/a/b:1", { signal });
    expect(fake.requests.at(-1)).toContain("/images/localhost");
  });

  test("receives events that the stream splits or joins", async () => {
    const listening = new AbortController();
    const seen: string[] = [];
    const reading = (async () => {
      for await (const { containerId } of engine.events({ sinceNs: "", signal: listening.signal }))
        seen.push(containerId);
    })().catch(() => {});
    await eventually("the client listens", () => fake.requests.includes("GET /events"));
    const { body } = owner.sign({ name: "n", platform: "", body: bodyOf({ [TASK_LABEL]: "t" }) });
    const line = (id: string): string =>
      JSON.stringify({ Action: "die", Actor: { ID: id, Attributes: { ...body.Labels, name: "n" } } });
    await eventually("three events arrive", () => {
      fake.emit(line("a").slice(0, 20), `${line("a").slice(20)}\n${line("b")}\n{"broken\n`, `${line("c")}\n`);
      return seen.length >= 3;
    });
    expect(seen.slice(0, 3)).toEqual(["a", "b", "c"]);
    listening.abort();
    await reading;
  });

  test("callers that share one pull of an image can each cancel their own wait", async () => {
    fake.faults.add("POST", /images\/create/, { kind: "hang" });
    const [one, two] = [new AbortController(), new AbortController()];
    const pulls = [one, two].map((controller) =>
      engine.pull("web:1", { signal: controller.signal, platform: "" }).catch((error: unknown) => error),
    );
    await eventually("the pull starts", () => fake.requests.includes("POST /images/create"));
    one.abort(new Error("first canceled"));
    expect(await pulls[0]).toMatchObject({ message: "first canceled" });
    two.abort(new Error("second canceled"));
    expect(await pulls[1]).toMatchObject({ message: "second canceled" });
    expect(fake.requests.filter((request) => request === "POST /images/create")).toHaveLength(1);
    fake.pullLines = [{ status: "done" }];
    await engine.pull("web:1", { signal, platform: "" });
  });

  describe("the task manager with a faulty daemon", () => {
    const stopping = { controller: new AbortController(), done: Promise.resolve() };
    const states = new Map<string, TaskState>();
    const messages: string[] = [];
    const portProblems: string[] = [];

    const startManager = (): TaskManager => {
      states.clear();
      const manager = new TaskManager({
        checkPort: async () => "accepted",
        shareFile: async () => "",
        onPortPublishing: (problem) => portProblems.push(problem),
        taskFiles: new MemoryTaskFiles(),
        onSwapProblem: () => {},
        onUnknownTasks: () => {},
        engine,
        node: { nodeId: "n", hostname: "h", advertiseAddress: "127.0.0.1" },
        log: pino({ level: "silent" }),
        isFenced: () => false,
        networks: () => NO_NETWORKS,
        policy: () => ({ policy: DEFAULT_POLICY, files: DEFAULT_HOST_FILES }),
        onReport: ({ taskId, status }) => {
          states.set(taskId, status?.state ?? TaskState.UNSPECIFIED);
          messages.push(status?.message ?? "");
        },
        onForgotten: (taskId) => states.delete(taskId),
        onEngineConnected: () => {},
        onEngineDisconnected: () => {},
      });
      stopping.controller = new AbortController();
      stopping.done = manager.run(stopping.controller.signal);
      return manager;
    };
    afterEach(async () => {
      stopping.controller.abort();
      await stopping.done;
    });
    const spec = specOf();
    const assign = (manager: TaskManager, tasks: readonly ReturnType<typeof taskOf>[]): void => {
      const assigned = tasks.map((task) => ({ task, spec, receivedAtMs: Date.now() }));
      manager.assign({ isComplete: true, assigned, removedTaskIds: [] });
    };

    test("starts each container with three requests and looks up a shared image once", async () => {
      const tasks = Array.from({ length: 5 }, (_, index) => taskOf(spec, { slot: index + 1 }));
      assign(startManager(), tasks);
      await eventually("all tasks run", () => tasks.every(({ id }) => states.get(id) === TaskState.RUNNING));
      const about = fake.requests.filter((request) => /containers\/(?!json)/.test(request));
      expect(about).toHaveLength(3 * tasks.length);
      expect(fake.requests.filter((request) => request.includes("/images/"))).toHaveLength(1);
    });

    test("creates no second container when the response to a create is lost", async () => {
      fake.faults.add("POST", /containers\/create/, { kind: "lose-answer" });
      const task = taskOf(spec);
      assign(startManager(), [task]);
      await eventually("the task runs", () => states.get(task.id) === TaskState.RUNNING);
      expect(fake.containers.size).toBe(1);
    });

    test("rejects a task whose container name is in use and leaves that container alone", async () => {
      const task = taskOf(spec);
      const name = `shop_web.1.${task.id}`;
      const body = { Image: "busybox:test", Labels: {}, StopTimeout: 1 };
      const config = { RestartPolicy: { Name: "no" }, NetworkMode: "default" } as const;
      const id = await engine.create(
        { name, platform: "", body: { ...body, HostConfig: config } },
        { signal },
      );
      assign(startManager(), [task]);
      await eventually("the task is rejected", () => states.get(task.id) === TaskState.REJECTED);
      expect([...fake.containers.keys()]).toEqual([id]);
    });

    test("reports the progress of a pull and starts the task after it", async () => {
      fake.images.clear();
      fake.pullLines = [
        { status: "Downloading", id: "layer", progressDetail: { current: 30, total: 60 } },
        { status: "Download complete", id: "layer" },
      ];
      const task = taskOf(spec);
      assign(startManager(), [task]);
      await eventually("the task runs", () => states.get(task.id) === TaskState.RUNNING);
      expect(messages).toContain("pulling image busybox:test (50 %)");
    });

    test("retries a failed start and rejects the task when the failures continue", async () => {
      const fault = { kind: "status", status: 500, message: "injected failure" } as const;
      fake.faults.add("POST", /start/, fault, 2);
      const task = taskOf(spec);
      const manager = startManager();
      assign(manager, [task]);
      await eventually("the task runs", () => states.get(task.id) === TaskState.RUNNING);
      fake.faults.add("POST", /start/, fault, 100);
      const failing = taskOf(spec, { slot: 2 });
      assign(manager, [task, failing]);
      await eventually("the task is rejected", () => states.get(failing.id) === TaskState.REJECTED);
    });

    test("a host without Docker's firewall rules rejects the task and reports the problem until ports are published", async () => {
      const message =
        "driver failed programming external connectivity on endpoint web: (iptables failed: No chain/target/match by that name.)";
      fake.faults.add("POST", /start/, { kind: "status", status: 500, message }, 4);
      const manager = startManager();
      const task = taskOf(spec);
      assign(manager, [task]);
      await eventually("the task is rejected", () => states.get(task.id) === TaskState.REJECTED);
      expect(messages.at(-1)).toMatch(
        /^Docker cannot publish ports: its firewall rules are gone; restart Docker/,
      );
      expect(portProblems.at(-1)).toMatch(/restart Docker/);
    });

    test("a daemon that fails starts while it shuts down rejects no task", async () => {
      const task = taskOf(spec);
      const manager = startManager();
      await eventually("Docker is connected", () => fake.requests.includes("GET /containers/json"));
      const message = "OCI runtime create failed: container init was killed";
      fake.faults.add("POST", /start/, { kind: "status", status: 500, message });
      fake.faults.add("GET", /_ping/, { kind: "break" }, 1);
      assign(manager, [task]);
      await eventually("the task runs", () => states.get(task.id) === TaskState.RUNNING);
      expect(messages.some((text) => text.startsWith("OCI"))).toBe(false);
    });

    test("creates one container for each task while the daemon drops connections repeatedly", async () => {
      const tasks = Array.from({ length: 6 }, (_, index) => taskOf(spec, { slot: index + 1 }));
      assign(startManager(), tasks);
      for (let round = 0; round < 5; round += 1) {
        await new Promise((resolve) => setTimeout(resolve, 15));
        fake.dropConnections();
      }
      await eventually("all tasks run", () => tasks.every(({ id }) => states.get(id) === TaskState.RUNNING));
      expect(fake.containers.size).toBe(tasks.length);
    });
  });
});
