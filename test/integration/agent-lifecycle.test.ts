import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type AssignedTask, BerthError, DesiredState, TaskState } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { eventually } from "../harness/eventually.js";
import { useAgent } from "./agent/agent-fixture.js";
import { FakeLeader } from "./agent/fake-leader.js";
import { type SpecOptions, specOf, taskOf } from "./agent/specs.js";

const fixture = useAgent();

/** Assigns one task. Resolves when it runs. */
async function startTask(options: SpecOptions = {}): Promise<AssignedTask> {
  const spec = specOf(options);
  const task = taskOf(spec);
  fixture.leader.sendComplete([spec], [task]);
  await fixture.waitForState(task.id, TaskState.RUNNING);
  return task;
}

/** Returns the ID, the status and the start time of each container. */
async function containerStarts(): Promise<string> {
  const ids = (await fixture.docker.docker("ps", "-aq")).split("\n");
  const format = "{{.Id}} {{.State.Status}} {{.State.StartedAt}}";
  return fixture.docker.docker("inspect", "--format", format, ...ids);
}

/** Waits until the agent has written this text to its state file. */
async function waitForStateFile(text: string): Promise<void> {
  await eventually(`state.json contains ${text}`, async () =>
    (await readFile(join(fixture.dataDir, "state.json"), "utf8")).includes(text),
  );
}

const engineReady = (): boolean | undefined => fixture.leader.descriptions.at(-1)?.engineReady;

describe("an agent that ends", () => {
  test("adopts its containers untouched when it starts after SIGKILL", async () => {
    const { agent, leader } = fixture;
    const spec = specOf();
    const tasks = [taskOf(spec), taskOf(spec, { slot: 2 })];
    leader.sendComplete([spec], tasks);
    for (const { id } of tasks) await fixture.waitForState(id, TaskState.RUNNING);
    const before = await containerStarts();
    await agent.kill("SIGKILL");
    await fixture.restartAgent();
    leader.sendComplete([spec], tasks);
    for (const { id } of tasks) await fixture.waitForState(id, TaskState.RUNNING);
    expect(await containerStarts()).toBe(before);
  });

  test("exits with status 0 on SIGTERM and keeps its containers running", async () => {
    await startTask();
    const before = await containerStarts();
    expect(await fixture.agent.kill("SIGTERM")).toBe(0);
    expect(await containerStarts()).toBe(before);
  });

  test("creates one container for each task although it is killed repeatedly while it starts them", async () => {
    const { docker, leader } = fixture;
    const spec = specOf();
    const tasks = Array.from({ length: 8 }, (_, index) => taskOf(spec, { slot: index + 1 }));
    for (let round = 0; round < 4; round += 1) {
      leader.sendComplete([spec], tasks);
      // Any moment is correct. Different delays interrupt the agent at different steps.
      await sleep(150 + 200 * round);
      await fixture.agent.kill("SIGKILL");
      await fixture.restartAgent();
    }
    leader.sendComplete([spec], tasks);
    for (const { id } of tasks) await fixture.waitForState(id, TaskState.RUNNING);
    const labels = await docker.docker("ps", "-a", "--format", '{{.Label "berth.task.id"}}');
    expect(labels.split("\n").sort()).toEqual(tasks.map(({ id }) => id).sort());
  });

  test("does not start an ended task again after a restart, even when its container was removed", async () => {
    const { agent, docker, leader } = fixture;
    const spec = specOf({ command: ["sh", "-c", "exit 3"] });
    const task = taskOf(spec);
    leader.sendComplete([spec], [task]);
    await fixture.waitForState(task.id, TaskState.FAILED);
    await waitForStateFile("TASK_STATE_FAILED");
    await agent.kill("SIGKILL");
    await docker.removeContainers();
    await fixture.restartAgent();
    leader.sendComplete([spec], [task]);
    expect(await fixture.waitForState(task.id, TaskState.FAILED)).toMatchObject({ exitCode: 3 });
    expect(await docker.docker("ps", "-aq")).toBe("");
  });

  test("refuses to share a data directory: the second agent exits with status 1 and the first keeps its session", async () => {
    const { agent, leader } = fixture;
    expect(await fixture.startAgent().exited).toBe(1);
    expect(await readFile(agent.logFile, "utf8")).toMatch(
      /another agent uses .*; stop it, or start this one with another --data-dir/,
    );
    const before = leader.heartbeatCount;
    await eventually("the first agent sends heartbeats", () => leader.heartbeatCount > before + 2);
    expect(leader.sessionCount).toBe(1);
  });
});

describe("an agent whose dockerd fails", () => {
  test.each(["SIGTERM", "SIGKILL"] as const)(
    "reports a %s of dockerd, fails the tasks that ended with it and continues when dockerd is back",
    async (signal) => {
      const { docker, leader } = fixture;
      const task = await startTask();
      await docker.host.killProcess("dockerd", signal);
      await eventually("the agent reports that Docker is unavailable", () => engineReady() === false);
      await eventually("dockerd has exited", () => docker.host.processes("dockerd").length === 0);
      await docker.host.startDockerd();
      await eventually("the agent reports that Docker is available", engineReady);
      await fixture.waitForState(task.id, TaskState.FAILED);
      const next = taskOf(specOf());
      leader.sendIncrement({ tasks: [next] });
      await fixture.waitForState(next.id, TaskState.RUNNING);
    },
  );

  test("reports a task that ended with dockerd as failed before dockerd is back", async () => {
    const { docker } = fixture;
    const task = await startTask();
    await docker.host.killProcess("dockerd", "SIGTERM");
    expect(await fixture.waitForState(task.id, TaskState.FAILED)).toMatchObject({
      message: "ended while Docker was unavailable",
      stoppedExternally: true,
    });
    await eventually("dockerd has exited", () => docker.host.processes("dockerd").length === 0);
    await docker.host.startDockerd();
    await eventually("the agent reports that Docker is available", engineReady);
    const next = taskOf(specOf());
    fixture.leader.sendIncrement({ tasks: [{ ...task, desiredState: DesiredState.REMOVE }, next] });
    await fixture.waitForState(next.id, TaskState.RUNNING);
    await eventually("the container is removed", async () => {
      return !(await docker.docker("ps", "-a", "--format", '{{.Label "berth.task.id"}}')).includes(task.id);
    });
  });

  test("keeps its session while dockerd hangs and applies the assignments of that time afterwards", async () => {
    const { agent, docker, leader } = fixture;
    const task = await startTask();
    await docker.host.killProcess("dockerd", "SIGSTOP");
    const next = taskOf(specOf(), { slot: 2 });
    leader.sendIncrement({ tasks: [next, { ...task, desiredState: DesiredState.SHUTDOWN }] });
    await eventually("the agent reports that Docker is unavailable", () => engineReady() === false);
    expect(leader.descriptions.at(-1)?.problems).toEqual([
      expect.stringMatching(/^Docker has not responded since \d{4}-.*Z: /),
    ]);
    const before = leader.heartbeatCount;
    await eventually("the agent sends heartbeats", () => leader.heartbeatCount > before + 5);
    await docker.host.killProcess("dockerd", "SIGCONT");
    await fixture.waitForState(next.id, TaskState.RUNNING);
    await fixture.waitForState(task.id, TaskState.SHUTDOWN);
    await expect.poll(() => leader.descriptions.at(-1)).toMatchObject({ engineReady: true, problems: [] });
    const log = await readFile(agent.logFile, "utf8");
    expect(log.match(/lost connection to Docker/g)).toHaveLength(1);
  });
});

describe("an agent whose session ends", () => {
  test("reports in its next session what ended in between", async () => {
    const { docker, leader } = fixture;
    const task = await startTask();
    const containerId = fixture.status(task.id)?.containerId ?? "";
    leader.endSession();
    await docker.docker("kill", containerId);
    await fixture.waitForState(task.id, TaskState.FAILED);
  });

  test("leaves a leader that hangs although its host answers, for another server", async () => {
    const { leader } = fixture;
    const next = await FakeLeader.start(fixture.identities);
    try {
      leader.servers = [next.address];
      leader.endSession();
      await eventually("the agent has a session again", () => leader.hasSession);
      leader.isUnresponsive = true;
      await eventually("the agent has a session with the other server", () => next.hasSession);
    } finally {
      await next.close();
    }
  });

  test("requests a complete set after a gap in the assignments", async () => {
    const { leader } = fixture;
    const spec = specOf();
    const task = taskOf(spec);
    leader.sendComplete([], []);
    leader.sendIncrement({ appliesTo: 77, specs: [spec], tasks: [task] });
    await eventually("the agent starts a second session", () => leader.sessionCount === 2);
    leader.sendComplete([spec], [task]);
    await fixture.waitForState(task.id, TaskState.RUNNING);
  });

  test("follows a redirect to the leader and ignores a deposed leader afterwards", async () => {
    const { docker, leader: deposed } = fixture;
    const elected = await FakeLeader.start(fixture.identities);
    elected.epoch = 5;
    elected.servers = [deposed.address, elected.address];
    try {
      deposed.redirectTo = elected.address;
      const details = { leader: elected.address };
      deposed.endSession(new BerthError({ code: "BERTH_NOT_LEADER", message: "deposed", details }));
      await eventually("the agent has a session with the leader", () => elected.hasSession);
      await waitForStateFile('"epoch":5');
      const sessionsBefore = deposed.sessionCount;
      deposed.redirectTo = undefined;
      deposed.epoch = 4;
      elected.endSession();
      await eventually("the agent tries the deposed leader", () => deposed.sessionCount > sessionsBefore);
      await eventually("the agent returns to the leader", () => elected.sessionCount > 1);
      const spec = specOf();
      deposed.sendComplete([spec], [taskOf(spec)]);
      elected.sendComplete([], []);
      await eventually("the leader's set is applied", () => elected.appliedSequence === elected.sequence);
      expect(await docker.docker("ps", "-aq")).toBe("");
    } finally {
      await elected.close();
    }
  });
});
