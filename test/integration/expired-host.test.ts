import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { NodeState } from "@berth/proto";
import { parseCertificate } from "@berth/proto/identity";
import { afterEach, describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { AgentProcess } from "./agent/agent-process.js";
import { useTestCluster } from "./cluster-fixture.js";

const DAY_MS = 24 * 60 * 60_000;
const VALIDITY_MS = 3 * DAY_MS;

const context = useTestCluster();
let agent: AgentProcess | undefined;

afterEach(async () => {
  await agent?.stopWithIngress();
  agent = undefined;
});

/** Returns the data directory of a node whose certificate expired this long ago. */
async function nodeThatExpired(agoMs: number): Promise<string> {
  const dataDir = temporaryDirectory();
  await context.cluster.admitAgent("n1", dataDir, Date.now() - agoMs - VALIDITY_MS);
  expect(endOf(dataDir)).toBeLessThan(Date.now());
  return dataDir;
}

function endOf(dataDir: string): number {
  return Date.parse(parseCertificate(readFileSync(join(dataDir, "identity", "certificate.pem"))).validTo);
}

/** Starts an agent. No Docker daemon is needed for a session. */
function startAgent(dataDir: string, server: string): AgentProcess {
  agent = new AgentProcess({
    servers: [server],
    dataDir,
    dockerSocket: join(dataDir, "docker.sock"),
    args: ["--advertise", "127.0.0.1"],
  });
  return agent;
}

describe("expired-host-returns: a host that was off until after the end of its certificate", () => {
  it("renews its certificate and returns as the same node within 30 days", async () => {
    const { calls, address } = await context.cluster.startServer();
    const dataDir = await nodeThatExpired(29 * DAY_MS);
    startAgent(dataDir, address);
    await eventually("the node is ready", async () => {
      const { nodes } = await calls.listNodes({});
      return nodes.length === 1 && nodes[0]?.node?.state === NodeState.READY;
    });
    expect(endOf(dataDir)).toBeGreaterThan(Date.now() + 2 * DAY_MS);
  });

  it("has to join again after 30 days", async () => {
    const { calls, address } = await context.cluster.startServer();
    const dataDir = await nodeThatExpired(31 * DAY_MS);
    const before = endOf(dataDir);
    const { logFile } = startAgent(dataDir, address);
    await eventually("the agent logs what to do", async () =>
      (await readFile(logFile, "utf8")).includes("berth agent join"),
    );
    expect((await calls.listNodes({})).nodes[0]?.node?.state).not.toBe(NodeState.READY);
    expect(endOf(dataDir)).toBe(before);
  });
});
