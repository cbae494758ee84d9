import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { BerthError, DesiredState, TaskState, type TaskStatus } from "@berth/proto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { eventually } from "../harness/eventually.js";
import { temporaryFolder } from "../harness/temporary-folder.js";
import { AgentProcess } from "./agent/agent-process.js";
import { DockerHost } from "./agent/docker-host.js";
import { FakeLeader } from "./agent/fake-leader.js";
import { specOf, taskOf } from "./agent/specs.js";

describe("an agent, its Docker daemon and its leader die and come back", () => {
  let docker: DockerHost;
  let leader: FakeLeader;
  let agent: AgentProcess;
  let dataDir: string;

  beforeAll(async () => {
    docker = await DockerHost.start();
  });
  afterAll(() => docker?.close());

  beforeEach(async () => {
    dataDir = temporaryFolder();
    leader = await FakeLeader.start();
    agent = startAgent();
    await eventually("the agent has joined", () => leader.hasSession);
  });
  afterEach(async () => {
    await agent.stopWithIngress();
    await leader.close();
    await docker.removeContainers();
    await rm(dataDir, { recursive: true, force: true });
  });

  const startAgent = (): AgentProcess =>
    new AgentProcess({ servers: [leader.address], dockerSocket: docker.socket, dataDir });
  const status = (taskId: string): TaskStatus | undefined => leader.reports.get(taskId)?.status;
  const reaches = (taskId: string, state: TaskState): Promise<TaskStatus> =>
    eventually(`task reaches state ${state}`, () => {
      const now = status(taskId);
      return now?.state === state ? now : undefined;
    });
  const startTimes = (): Promise<string> =>
    docker
      .docker("ps", "-aq")
      .then((ids) =>
        docker.docker(
          "inspect",
          "--format",
          "{{.Id}} {{.State.Status}} {{.State.StartedAt}}",
          ...ids.split("\n"),
        ),
      );
  const rejoin = async (): Promise<void> => {
    leader.endSession();
    leader.reports.clear();
    agent = startAgent();
    await eventually("the agent has joined again", () => leader.hasSession);
  };

  test("killed and started again: containers are untouched and adopted", async () => {
    const spec = specOf();
    const tasks = [taskOf(spec), taskOf(spec, { slot: 2 })];
    leader.sendComplete([spec], tasks);
    for (const { id } of tasks) await reaches(id, TaskState.RUNNING);
    const before = await startTimes();
    await agent.kill("SIGKILL");
    await rejoin();
    leader.sendComplete([spec], tasks);
    for (const { id } of tasks) await reaches(id, TaskState.RUNNING);
    expect(await startTimes()).toBe(before);
  });

  test("a leader that stands still, though its host answers, is left for the next one within seconds", async () => {
    const next = await FakeLeader.start();
    try {
      leader.servers = [next.address];
      leader.endSession();
      await eventually("the agent has heard of the next one", () => leader.hasSession);
      leader.isUnresponsive = true;
      await eventually("the agent has joined another server", () => next.hasSession);
    } finally {
      await next.close();
    }
  });

  test("SIGTERM: ends with code 0, containers run on", async () => {
    const spec = specOf();
    const task = taskOf(spec);
    leader.sendComplete([spec], [task]);
    await reaches(task.id, TaskState.RUNNING);
    const before = await startTimes();
    expect(await agent.kill("SIGTERM")).toBe(0);
    expect(await startTimes()).toBe(before);
  });

  test("a second agent on the same data directory ends with code 1 and says why; the first is not disturbed", async () => {
    expect(await startAgent().exited).toBe(1);
    const log = await readFile(agent.logFile, "utf8");
    expect(log).toMatch(/another agent uses .*: stop it, or start this one with another --data-dir/);
    const beats = leader.heartbeatCount;
    await eventually("the first agent beats on", () => leader.heartbeatCount > beats + 2);
    expect(leader.sessionCount).toBe(1);
  });

  test("killed again and again while it starts tasks: each ends up with exactly one container", async () => {
    const spec = specOf();
    const tasks = Array.from({ length: 8 }, (_, index) => taskOf(spec, { slot: index + 1 }));
    for (let round = 0; round < 4; round += 1) {
      leader.sendComplete([spec], tasks);
      await new Promise((resolve) => setTimeout(resolve, 150 + 200 * round));
      await agent.kill("SIGKILL");
      await rejoin();
    }
    leader.sendComplete([spec], tasks);
    for (const { id } of tasks) await reaches(id, TaskState.RUNNING);
    const labels = await docker.docker("ps", "-a", "--format", '{{.Label "berth.task.id"}}');
    expect(labels.split("\n").sort()).toEqual(tasks.map(({ id }) => id).sort());
  });

  test("a task that has ended does not start again after a restart of the agent, container or not", async () => {
    const spec = specOf({ command: ["sh", "-c", "exit 3"] });
    const task = taskOf(spec);
    leader.sendComplete([spec], [task]);
    await reaches(task.id, TaskState.FAILED);
    await eventually("it is on disk", async () =>
      (await readFile(join(dataDir, "state.json"), "utf8").catch(() => "")).includes("TASK_STATE_FAILED"),
    );
    await agent.kill("SIGKILL");
    await docker.removeContainers();
    await rejoin();
    leader.sendComplete([spec], [task]);
    expect(await reaches(task.id, TaskState.FAILED)).toMatchObject({ exitCode: 3 });
    expect(await docker.docker("ps", "-aq")).toBe("");
  });

  test.each(["SIGTERM", "SIGKILL"] as const)(
    "dockerd ends by %s and is started again: the agent says so, and the tasks' end is a failure",
    async (signal) => {
      const spec = specOf();
      const task = taskOf(spec);
      leader.sendComplete([spec], [task]);
      await reaches(task.id, TaskState.RUNNING);
      await docker.host.killProcess("dockerd", signal);
      await eventually(
        "the leader knows that Docker is away",
        () => leader.descriptions.at(-1)?.engineReady === false,
      );
      await eventually("dockerd is gone", () => docker.host.processes("dockerd").length === 0);
      await docker.host.startDockerd();
      await eventually("the leader knows that Docker is back", () => leader.descriptions.at(-1)?.engineReady);
      await reaches(task.id, TaskState.FAILED);
      const next = taskOf(spec);
      leader.sendIncrement({ tasks: [next] });
      await reaches(next.id, TaskState.RUNNING);
    },
  );

  test("dockerd hangs: nothing is lost, what was ordered meanwhile is done after", async () => {
    const spec = specOf();
    const task = taskOf(spec);
    leader.sendComplete([spec], [task]);
    await reaches(task.id, TaskState.RUNNING);
    await docker.host.killProcess("dockerd", "SIGSTOP");
    const next = taskOf(spec, { slot: 2 });
    leader.sendIncrement({ tasks: [next, { ...task, desiredState: DesiredState.SHUTDOWN }] });
    await eventually(
      "the leader knows that Docker is away",
      () => leader.descriptions.at(-1)?.engineReady === false,
    );
    expect(leader.descriptions.at(-1)?.problems).toEqual([
      expect.stringMatching(/^Docker does not answer, since \d{4}-.*Z: /),
    ]);
    const beats = leader.heartbeatCount;
    await eventually("the agent beats on", () => leader.heartbeatCount > beats + 5);
    await docker.host.killProcess("dockerd", "SIGCONT");
    await reaches(next.id, TaskState.RUNNING);
    await reaches(task.id, TaskState.SHUTDOWN);
    expect(leader.descriptions.at(-1)).toMatchObject({ engineReady: true, problems: [] });
    const text = await readFile(agent.logFile, "utf8");
    expect(text.match(/lost connection to Docker/g)).toHaveLength(1);
  });

  test("the session breaks off: what ended meanwhile is reported in the next one", async () => {
    const spec = specOf();
    const task = taskOf(spec);
    leader.sendComplete([spec], [task]);
    const { containerId } = await reaches(task.id, TaskState.RUNNING);
    leader.endSession();
    await docker.docker("kill", containerId);
    await reaches(task.id, TaskState.FAILED);
  });

  test("follows the word of a server that is not the leader, and refuses a leader that has been deposed", async () => {
    const other = await FakeLeader.start();
    other.epoch = 5;
    other.servers = [leader.address, other.address];
    try {
      leader.redirectTo = other.address;
      leader.endSession(
        new BerthError({ code: "BERTH_NOT_LEADER", message: "deposed", details: { leader: other.address } }),
      );
      await eventually("the agent has joined the leader", () => other.hasSession);
      await eventually("the epoch is on disk", async () =>
        (await readFile(join(dataDir, "state.json"), "utf8").catch(() => "")).includes('"epoch":5'),
      );
      leader.redirectTo = undefined;
      leader.epoch = 4;
      other.endSession();
      await eventually("the agent has tried the old one", () => leader.sessionCount > 1);
      await eventually("the agent is back with the new one", () => other.sessionCount > 1);
      const spec = specOf();
      const task = taskOf(spec);
      leader.sendComplete([spec], [task]);
      other.sendComplete([], []);
      await eventually("orders of the new one are taken", () => other.appliedSequence === other.sequence);
      expect(await docker.docker("ps", "-aq")).toBe("");
    } finally {
      await other.close();
    }
  });

  test("a gap in the assignments ends the session; the next complete set puts it right", async () => {
    const spec = specOf();
    const task = taskOf(spec);
    leader.sendComplete([], []);
    leader.sendIncrement({ appliesTo: 77, specs: [spec], tasks: [task] });
    await eventually("the agent has joined again", () => leader.sessionCount === 2);
    leader.sendComplete([spec], [task]);
    await reaches(task.id, TaskState.RUNNING);
  });
});
