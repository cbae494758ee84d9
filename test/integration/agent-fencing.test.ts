import { rm } from "node:fs/promises";
import { TaskState } from "@berth/proto";
import { PROBE_PORT } from "@berth/proto/probe";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { eventually } from "../harness/eventually.js";
import { temporaryFolder } from "../harness/temporary-folder.js";
import { AgentProcess } from "./agent/agent-process.js";
import { DockerHost } from "./agent/docker-host.js";
import { FakeLeader } from "./agent/fake-leader.js";
import { specOf, taskOf } from "./agent/specs.js";

/** As process 1 of its container it takes no notice of SIGTERM, and is asked for a grace of a minute. */
const STUBBORN = { command: ["sleep", "1000"], container: { stopGraceMs: 60_000 } };

describe("an agent whose leader falls silent", () => {
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
    agent = new AgentProcess({ servers: [leader.address], dockerSocket: docker.socket, dataDir });
    await eventually("the agent has joined", () => leader.hasSession);
  });
  afterEach(async () => {
    await agent.stopWithIngress();
    await leader.close();
    await docker.removeContainers();
    await rm(dataDir, { recursive: true, force: true });
  });

  const stateOf = (taskId: string): TaskState | undefined => leader.reports.get(taskId)?.status?.state;

  test("stops its at-most-one tasks by itself, whatever their grace, and no others", async () => {
    const spec = specOf(STUBBORN);
    const ordinary = taskOf(spec);
    const single = { ...taskOf(spec), atMostOne: true };
    leader.sendComplete([spec], [ordinary, single]);
    await eventually("both run", () =>
      [ordinary, single].every(({ id }) => stateOf(id) === TaskState.RUNNING),
    );
    leader.acknowledgesHeartbeats = false;
    await eventually(
      "the at-most-one task is dead",
      async () => (await docker.runningContainers(single.id)).length === 0,
    );
    expect(await docker.runningContainers(ordinary.id)).toHaveLength(1);
    const failed = await eventually("its end is told", () =>
      stateOf(single.id) === TaskState.FAILED ? leader.reports.get(single.id) : undefined,
    );
    expect(failed.status?.message).toMatch(
      /no contact with the leader, and at most one instance of this task may run/,
    );

    const next = { ...taskOf(spec), atMostOne: true };
    leader.sendIncrement({ tasks: [next] });
    await eventually("the order is taken", () => leader.appliedSequence === leader.sequence);
    expect(await docker.runningContainers(next.id)).toEqual([]);
    leader.acknowledgesHeartbeats = true;
    await eventually("the next one runs", () => stateOf(next.id) === TaskState.RUNNING);
  });

  test("answers whether it reaches another host", async () => {
    leader.send({
      $case: "probe",
      value: { requestId: "lives", address: "127.0.0.1", port: PROBE_PORT },
    });
    leader.send({
      $case: "probe",
      value: { requestId: "silent", address: "255.255.255.255", port: PROBE_PORT },
    });
    await eventually("both are answered", () => leader.probeResults.length === 2);
    expect(leader.probeResults).toEqual([
      { requestId: "lives", answered: true },
      { requestId: "silent", answered: false },
    ]);
  });
});
