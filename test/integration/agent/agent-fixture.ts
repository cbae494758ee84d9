import { rm } from "node:fs/promises";
import type { TaskState, TaskStatus } from "@berth/proto";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { eventually } from "../../harness/eventually.js";
import { temporaryDirectory } from "../../harness/temporary-directory.js";
import { TestIdentities } from "../../harness/test-identities.js";
import { AgentProcess } from "./agent-process.js";
import { DockerHost } from "./docker-host.js";
import { FakeLeader } from "./fake-leader.js";

/** A real Docker daemon, shared by the tests of a file, with a fake leader and an agent of the current test. */
export class AgentFixture {
  docker!: DockerHost;
  leader!: FakeLeader;
  /** The identities of the leader and of the agent. */
  identities!: TestIdentities;
  /** The agent that was started last. */
  agent!: AgentProcess;
  dataDir!: string;

  /** Starts another agent on the same data directory. */
  startAgent(args: readonly string[] = []): AgentProcess {
    const servers = [this.leader.address];
    return new AgentProcess({ servers, dockerSocket: this.docker.socket, dataDir: this.dataDir, args });
  }

  /** Ends the session, forgets the reports, and starts another agent. Resolves when it has a session. */
  async restartAgent(args: readonly string[] = []): Promise<void> {
    this.leader.endSession();
    this.leader.reports.clear();
    this.agent = this.startAgent(args);
    await eventually("the agent has a session", () => this.leader.hasSession);
  }

  /** Returns the status that the agent reported last for a task. */
  status(taskId: string): TaskStatus | undefined {
    return this.leader.reports.get(taskId)?.status;
  }

  /** Waits until the agent reports this state, and returns the status. */
  async waitForState(taskId: string, state: TaskState): Promise<TaskStatus> {
    return eventually(`task ${taskId} is in state ${state}`, () => {
      const status = this.status(taskId);
      return status?.state === state && status;
    });
  }
}

/**
 * Registers hooks that start a Docker daemon once, and a leader with an agent before each test.
 *
 * @param args Returns more arguments of the agent of the next test.
 */
export function useAgent(args: () => readonly string[] = () => []): AgentFixture {
  const fixture = new AgentFixture();
  beforeAll(async () => {
    fixture.docker = await DockerHost.start();
    fixture.identities = await TestIdentities.create();
  });
  afterAll(() => {
    fixture.identities?.close();
    return fixture.docker?.close();
  });
  beforeEach(async () => {
    fixture.dataDir = temporaryDirectory();
    await fixture.identities.storeNode("n1", fixture.dataDir);
    fixture.leader = await FakeLeader.start(fixture.identities);
    fixture.agent = fixture.startAgent(args());
    await eventually("the agent has a session", () => fixture.leader.hasSession);
  });
  afterEach(async () => {
    await fixture.agent.stopWithIngress();
    await fixture.leader.close();
    await fixture.docker.removeContainers();
    await rm(fixture.dataDir, { recursive: true, force: true });
  });
  return fixture;
}
