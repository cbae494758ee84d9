import { type ChildProcess, spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import { ServiceSpec } from "@berth/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BERTH_PATH } from "../../deploy/lab/berth-commands.js";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";
import { eventually } from "../harness/eventually.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { converged, deployment, TestCluster, type TestServer } from "../harness/test-cluster.js";
import { AgentProcess } from "./agent/agent-process.js";
import { DockerHost } from "./agent/docker-host.js";
import { IMAGE } from "./agent/specs.js";

/** Prints a line every 100 ms: the ID of its container and a number. No line occurs twice in the cluster. */
const TICK = 'trap "exit 0" TERM; n=0; while :; do n=$((n+1)); echo "$(hostname) $n"; sleep 0.1; done';

/** A `berth logs -f` process. */
class LogFollower {
  readonly #child: ChildProcess;
  stdout = "";
  stderr = "";

  constructor(servers: readonly TestServer[], ...args: string[]) {
    const list = servers.map(({ socket }) => `unix:${socket}`).join(",");
    this.#child = spawn(process.execPath, [BERTH_PATH, "--server", list, "logs", "--raw", ...args]);
    this.#child.stdout?.on("data", (bytes) => (this.stdout += bytes));
    this.#child.stderr?.on("data", (bytes) => (this.stderr += bytes));
  }

  get lines(): readonly string[] {
    return this.stdout.split("\n").slice(0, -1);
  }

  /** The IDs of the containers whose lines arrived. */
  get writers(): ReadonlySet<string> {
    return new Set(this.lines.map((line) => line.split(" ")[0] ?? ""));
  }

  stop(): void {
    this.#child.kill("SIGKILL");
  }
}

describe("a followed log", () => {
  let docker: DockerHost;
  let etcd: TestEtcd;
  let cluster: TestCluster;
  let agent: AgentProcess;
  let servers: TestServer[];
  let follower: LogFollower;
  const dataDir = temporaryDirectory();

  beforeAll(async () => {
    [docker, etcd] = await Promise.all([DockerHost.start(), startTestEtcd()]);
    cluster = new TestCluster(etcd.endpoint);
    const leader = await cluster.startServer();
    await eventually("the first server leads", async () => (await leader.calls.getCluster({})).epoch > 0);
    servers = [leader, await cluster.startServer()];
    const addresses = servers.map(({ address }) => address);
    await cluster.admitAgent("n1", dataDir);
    agent = new AgentProcess({ servers: addresses, dockerSocket: docker.socket, dataDir });
    const container = { image: IMAGE, command: { values: ["sh", "-c", TICK] } };
    const spec = ServiceSpec.fromPartial({ name: "shop_web", stack: "shop", task: { container } });
    const mode = { $case: "replicated", value: { replicas: 2 } } as const;
    await leader.calls.deployStack(deployment([{ ...spec, mode }]));
    await converged(leader.calls, "shop_web");
    follower = new LogFollower(servers, "-f", "shop_web");
    await eventually("lines of both tasks arrive", () => follower.writers.size === 2);
  });
  afterAll(async () => {
    follower?.stop();
    await agent?.stopWithIngress();
    await cluster?.close();
    await etcd?.close();
    await docker?.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  const moreLines = (): Promise<boolean> => {
    const before = follower.lines.length;
    return eventually("more lines arrive", () => follower.lines.length > before + 10);
  };

  test("continues with the replacement of a failed task", async () => {
    const [first] = (await docker.docker("ps", "-q")).split("\n");
    await docker.docker("kill", first ?? "");
    await eventually("lines of the replacement arrive", () => follower.writers.size === 3);
  });

  test("continues after a restart of the agent and a change of the leader", async () => {
    await agent.kill("SIGKILL");
    const addresses = servers.map(({ address }) => address);
    agent = new AgentProcess({ servers: addresses, dockerSocket: docker.socket, dataDir });
    await eventually("the agent is registered", async () => {
      const { nodes } = (await (servers[1] ?? servers[0])?.calls.listNodes({})) ?? { nodes: [] };
      return nodes.length === 1;
    });
    await moreLines();
    await servers[0]?.stop();
    await eventually(
      "the second server leads",
      async () => ((await servers[1]?.calls.getCluster({}))?.epoch ?? 0) > 1,
    );
    await moreLines();
  });

  test("contains each line once and the lines of each container in order", () => {
    const { lines } = follower;
    expect(new Set(lines).size).toBe(lines.length);
    for (const writer of follower.writers) {
      const numbers = lines
        .filter((line) => line.startsWith(`${writer} `))
        .map((line) => Number(line.split(" ")[1]));
      expect(numbers).toEqual(numbers.map((_, index) => index + 1));
    }
  });
});
