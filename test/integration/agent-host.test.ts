import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { type NodeDescription, PortSpec_Protocol } from "@berth/proto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FakeEngine } from "../fakes/engine/fake-engine.js";
import { eventually } from "../harness/eventually.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { TestIdentities } from "../harness/test-identities.js";
import { AgentProcess } from "./agent/agent-process.js";
import { FakeLeader } from "./agent/fake-leader.js";

describe("an agent describes its host", () => {
  let engine: FakeEngine;
  let dataDir: string;
  let identities: TestIdentities;
  let leader: FakeLeader;
  let agent: AgentProcess;
  /** A program of the host that is not berth's. */
  let program: Server;

  beforeEach(async () => {
    dataDir = temporaryDirectory();
    engine = new FakeEngine();
    engine.volumes.push("shop_data", "0".repeat(64), "a_volume");
    await engine.listen(join(dataDir, "docker.sock"));
    program = createServer().listen(0, "127.0.0.1");
    await once(program, "listening");
    identities = await TestIdentities.create();
    await identities.storeNode("n1", dataDir);
    leader = await FakeLeader.start(identities);
    agent = new AgentProcess({
      servers: [leader.address],
      dockerSocket: join(dataDir, "docker.sock"),
      dataDir,
      args: ["--resource", "gpu=2"],
    });
  });
  afterEach(async () => {
    await agent.stopWithIngress();
    await leader.close();
    identities.close();
    program.close();
    await engine.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  const waitForDescription = (
    condition: string,
    matches: (description: NodeDescription) => boolean,
  ): Promise<NodeDescription> => eventually(condition, () => leader.descriptions.find(matches));

  test("reports its resources and named volumes before it reports itself as ready", async () => {
    const ready = await waitForDescription("the host is ready", ({ engineReady }) => engineReady);
    expect(ready).toMatchObject({ volumes: ["a_volume", "shop_data"], generic: { gpu: 2 } });
    expect(ready.pids).toBeGreaterThan(0);
  });

  test("reports the ports on which other programs listen", async () => {
    const address = program.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const listener = { protocol: PortSpec_Protocol.TCP, address: "127.0.0.1", port };
    const description = await waitForDescription("the port is reported", ({ listeners }) =>
      listeners.some((each) => each.port === port),
    );
    expect(description.listeners).toContainEqual(listener);
  });
});
