import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { TaskState } from "@berth/proto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FakeEngine } from "../fakes/engine/fake-engine.js";
import { eventually } from "../harness/eventually.js";
import { mountSmallDisk, type SmallDisk } from "../harness/small-disk.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { TestIdentities } from "../harness/test-identities.js";
import { AgentProcess } from "./agent/agent-process.js";
import { FakeLeader } from "./agent/fake-leader.js";
import { specOf, taskOf } from "./agent/specs.js";

/** The data directory of an agent takes less than 100 kB. */
const SIZE_MIB = 8;

describe("an agent whose data directory is on a disk of its own", () => {
  let directory: string;
  let disk: SmallDisk;
  let engine: FakeEngine;
  let identities: TestIdentities;
  let leader: FakeLeader;
  let agent: AgentProcess;

  beforeEach(async () => {
    directory = temporaryDirectory();
    disk = mountSmallDisk(SIZE_MIB);
    engine = new FakeEngine();
    await engine.listen(join(directory, "docker.sock"));
    identities = await TestIdentities.create();
    await identities.storeNode("n1", disk.path);
    leader = await FakeLeader.start(identities);
    leader.servers = [leader.address];
    agent = startAgent([leader.address]);
    await waitForSession();
    await eventually("the state is written", async () => (await readState()).includes(leader.address));
  });
  afterEach(async () => {
    disk.setReadOnly(false);
    await agent.stopWithIngress();
    await leader.close();
    identities.close();
    await engine.close();
    disk.remove();
    await rm(directory, { recursive: true, force: true });
  });

  const startAgent = (servers: readonly string[]): AgentProcess =>
    new AgentProcess({
      servers,
      dockerSocket: join(directory, "docker.sock"),
      dataDir: disk.path,
      logFile: join(directory, "agent.log"),
    });
  const waitForSession = () => eventually("the agent has a session", () => leader.hasSession);
  const readState = (name = "state.json"): Promise<string> => readFile(join(disk.path, name), "utf8");
  const problems = (): string => (leader.descriptions.at(-1)?.problems ?? []).join("\n");

  test("reports a full disk, runs tasks meanwhile, and writes its state when there is space", async () => {
    disk.fill();
    const spec = specOf();
    const task = taskOf(spec);
    leader.sendComplete([spec], [task]);
    await eventually("the task runs", () => leader.reports.get(task.id)?.status?.state === TaskState.RUNNING);
    const report = `${join(disk.path, "state.json")}: the disk is full; free some space on it`;
    await eventually("the node has the problem", () => problems().includes(report));
    expect(await readState()).not.toContain(task.id);
    disk.free();
    await eventually("the state is written", async () => (await readState()).includes(task.id));
    await eventually("the problem is gone", () => !problems().includes("the disk is full"));
  });

  test("keeps a damaged state file, and finds its leader again without it", async () => {
    await agent.kill("SIGKILL");
    leader.endSession();
    await writeFile(join(disk.path, "state.json"), '{"epoch":');
    agent = startAgent([]);
    await waitForSession();
    expect(await readState("state.json.damaged")).toBe('{"epoch":');
    expect(await readFile(agent.logFile, "utf8")).toMatch(
      /state\.json is damaged and was renamed to .*state\.json\.damaged/,
    );
    await eventually("the state is written", async () => (await readState()).includes(leader.address));
  });

  test("says why it cannot start on a read-only disk", async () => {
    // A second process would be started beside one that does not listen yet, and would replace it when it stops.
    await eventually("the ingress process listens", async () =>
      (await readFile(join(disk.path, "ingress", "ingress.log"), "utf8")).includes("ingress process ready"),
    );
    await agent.stopWithIngress();
    await eventually("no process writes to the disk", () => {
      disk.setReadOnly(true);
      return true;
    });
    agent = startAgent([leader.address]);
    expect(await agent.exited).toBe(1);
    expect(await readFile(agent.logFile, "utf8")).toMatch(
      /"msg":"cannot use .*: the file system is read-only; .* remount it read-write/,
    );
  });
});
