import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { TaskState, TaskStatus } from "@berth/proto";
import type { DockerConfig } from "../../../deploy/lab/lab-state.js";
import { secretsMountPoint } from "../../../packages/agent/src/files/tmpfs-task-files.js";
import { LayerStore } from "../../../packages/agent/src/images/layer-store.js";
import { eventually } from "../../harness/eventually.js";
import { temporaryDirectory } from "../../harness/temporary-directory.js";
import { TestIdentities } from "../../harness/test-identities.js";
import { DockerHost } from "./docker-host.js";
import { FakeLeader } from "./fake-leader.js";
import { LabAgent } from "./lab-agent.js";

/** A lab host with Docker and an agent, whose leader is the test. The agent mounts files where Docker sees them. */
export class FilesHost {
  readonly docker: DockerHost;
  readonly leader: FakeLeader;
  readonly agent: LabAgent;
  /** Contains the agent's data directory and its log. */
  readonly directory: string;
  /** The directory on the host in which the agent keeps secrets and configs. */
  readonly filesDirectory: string;
  readonly #dataDir: string;
  readonly #identities: TestIdentities;

  private constructor(
    docker: DockerHost,
    { leader, identities, directory }: { leader: FakeLeader; identities: TestIdentities; directory: string },
  ) {
    const dataDir = join(directory, "agent");
    this.docker = docker;
    this.leader = leader;
    this.directory = directory;
    this.#dataDir = dataDir;
    this.filesDirectory = secretsMountPoint(dataDir);
    this.agent = new LabAgent(docker.host, { server: leader.address, dataDir });
    this.#identities = identities;
  }

  static async start(dockerConfig: DockerConfig = {}): Promise<FilesHost> {
    const directory = temporaryDirectory();
    const docker = await DockerHost.start(dockerConfig);
    const identities = await TestIdentities.create();
    // Listens on the test's address in the lab's network.
    const leader = await FakeLeader.start(identities, `${docker.host.address.replace(/\d+$/, "1")}:0`);
    await identities.storeNode("n1", join(directory, "agent"));
    const host = new FilesHost(docker, { leader, identities, directory });
    await host.startAgent();
    return host;
  }

  /**
   * Starts the agent and waits for its session.
   *
   * @param enter Prefix of its command line.
   */
  async startAgent(enter: readonly string[] = []): Promise<void> {
    this.leader.endSession();
    this.leader.reports.clear();
    this.agent.start(enter);
    await eventually("the agent has joined", () => this.leader.hasSession);
  }

  async waitForState(taskId: string, state: TaskState): Promise<TaskStatus> {
    return eventually(`task ${taskId} is in state ${state}`, () => {
      const status = this.leader.reports.get(taskId)?.status;
      return status?.state === state && status;
    });
  }

  /** Returns the paths of all secrets and configs on the host. */
  async listFiles(): Promise<string[]> {
    const { stdout } = await this.docker.host.exec(["find", this.filesDirectory, "-type", "f"]);
    return stdout.split("\n").filter((line) => line !== "");
  }

  /** Puts the archive of a shipped mount where the agent keeps those that it has, and returns its digest. */
  async storeShipped(archive: AsyncIterable<Uint8Array>): Promise<string> {
    const store = new LayerStore(join(this.#dataDir, "shipped"), Number.POSITIVE_INFINITY);
    return store.add(archive);
  }

  /** Returns the paths of all copies of shipped mounts on the host. */
  async listCopies(): Promise<string[]> {
    return readdir(join(this.#dataDir, "mounts"), { recursive: true }).catch(() => []);
  }

  /** Runs a program of BusyBox in a container and returns its output. */
  exec(containerId: string, ...argv: string[]): Promise<string> {
    return this.docker.docker("exec", containerId, "busybox", ...argv);
  }

  async close(): Promise<void> {
    await this.leader.close();
    this.#identities.close();
    await this.docker.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}
