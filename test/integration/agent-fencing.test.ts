import { TaskState } from "@berth/proto";
import { PROBE_PORT } from "@berth/proto/probe";
import { describe, expect, test } from "vitest";
import { eventually } from "../harness/eventually.js";
import { useAgent } from "./agent/agent-fixture.js";
import { specOf, taskOf } from "./agent/specs.js";

/** Ignores SIGTERM, as process 1 of a container does, so that stopping it takes the whole grace period. */
const IGNORES_SIGTERM = { command: ["sleep", "1000"], container: { stopGraceMs: 60_000 } };

const fixture = useAgent();
const stateOf = (taskId: string): TaskState | undefined => fixture.status(taskId)?.state;

describe("an agent without contact to its leader", () => {
  test("kills its at-most-one tasks regardless of their grace period and keeps the others", async () => {
    const { docker, leader } = fixture;
    const spec = specOf(IGNORES_SIGTERM);
    const ordinary = taskOf(spec);
    const atMostOne = { ...taskOf(spec), atMostOne: true };
    leader.sendComplete([spec], [ordinary, atMostOne]);
    for (const { id } of [ordinary, atMostOne]) await fixture.waitForState(id, TaskState.RUNNING);
    leader.acknowledgesHeartbeats = false;
    await eventually(
      "the at-most-one task is dead",
      async () => (await docker.runningContainers(atMostOne.id)).length === 0,
    );
    expect(await docker.runningContainers(ordinary.id)).toHaveLength(1);
    const failed = await fixture.waitForState(atMostOne.id, TaskState.FAILED);
    expect(failed.message).toMatch(
      /no contact with the leader, and at most one instance of this task may run/,
    );
  });

  test("starts an at-most-one task only after the leader acknowledges heartbeats again", async () => {
    const { docker, leader } = fixture;
    const spec = specOf(IGNORES_SIGTERM);
    const first = { ...taskOf(spec), atMostOne: true };
    leader.sendComplete([spec], [first]);
    await fixture.waitForState(first.id, TaskState.RUNNING);
    leader.acknowledgesHeartbeats = false;
    // The fence is up once the running task has been killed.
    await fixture.waitForState(first.id, TaskState.FAILED);
    const second = { ...taskOf(spec), atMostOne: true };
    leader.sendIncrement({ tasks: [second] });
    await eventually("the assignment is applied", () => leader.appliedSequence === leader.sequence);
    expect(stateOf(second.id)).not.toBe(TaskState.RUNNING);
    expect(await docker.runningContainers(second.id)).toEqual([]);
    leader.acknowledgesHeartbeats = true;
    await fixture.waitForState(second.id, TaskState.RUNNING);
  });
});

test("an agent reports whether a probe of another host was answered", async () => {
  const { leader } = fixture;
  for (const [requestId, address] of [
    ["up", "127.0.0.1"],
    ["down", "255.255.255.255"],
  ] as const) {
    leader.send({ $case: "probe", value: { requestId, address, port: PROBE_PORT } });
  }
  await eventually("both results arrive", () => leader.probeResults.length === 2);
  expect(leader.probeResults).toEqual(
    expect.arrayContaining([
      { requestId: "up", answered: true },
      { requestId: "down", answered: false },
    ]),
  );
});
