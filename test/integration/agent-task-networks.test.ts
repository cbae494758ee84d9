import { rm } from "node:fs/promises";
import { join } from "node:path";
import {
  type AssignedSpec,
  DesiredState,
  DnsEntry,
  NetworkAttachment,
  TaskState,
  type TaskStatus,
} from "@berth/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { networkWith } from "../../packages/agent/src/core/networks/testing.js";
import { eventually } from "../harness/eventually.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { TestIdentities } from "../harness/test-identities.js";
import { DockerHost } from "./agent/docker-host.js";
import { FakeLeader } from "./agent/fake-leader.js";
import { LabAgent } from "./agent/lab-agent.js";
import { specOf, taskOf } from "./agent/specs.js";

const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/;
const FRONT = networkWith({ id: "front", peers: [], spec: { name: "shop_front", stack: "shop" } });
const BACK = networkWith({
  id: "back",
  vni: 4098,
  subnet: "10.65.0.0/18",
  range: "10.65.1.0/25",
  gateway: "10.65.1.1",
  peers: [],
  spec: { name: "shop_back", stack: "shop", internal: true },
});

describe("an agent with tasks in overlay networks", () => {
  let docker: DockerHost;
  let identities: TestIdentities;
  let leader: FakeLeader;
  let agent: LabAgent;
  let directory: string;

  beforeAll(async () => {
    directory = temporaryDirectory();
    docker = await DockerHost.start();
    identities = await TestIdentities.create();
    // Listens on the test's address in the lab's network.
    leader = await FakeLeader.start(identities, `${docker.host.address.replace(/\d+$/, "1")}:0`);
    const dataDir = join(directory, "agent");
    await identities.storeNode("n1", dataDir);
    agent = new LabAgent(docker.host, { server: leader.address, dataDir });
    agent.start();
    await eventually("the agent has joined", () => leader.hasSession);
  });
  afterAll(async () => {
    await leader?.close();
    identities?.close();
    await docker?.close();
    await rm(directory, { recursive: true, force: true });
  });

  const specIn = (...networks: string[]): AssignedSpec =>
    specOf({ task: { networks: networks.map((network) => NetworkAttachment.fromPartial({ network })) } });
  const statusWith = (taskId: string, holds: (status: TaskStatus) => boolean): Promise<TaskStatus> =>
    eventually(`task ${taskId} has the expected status`, () => {
      const status = leader.reports.get(taskId)?.status;
      return status !== undefined && holds(status) && status;
    });
  const runs = ({ state }: TaskStatus): boolean => state === TaskState.RUNNING;
  const inspect = async (taskId: string, format: string): Promise<string> => {
    const [id = ""] = await docker.runningContainers(taskId);
    return docker.docker("inspect", "--format", format, id);
  };

  test("reports that its host supports overlay networks, with their MTU", async () => {
    const described = await eventually("the agent reports overlay support", () =>
      leader.descriptions.find(({ dataPlane, engineReady }) => engineReady && dataPlane?.overlay),
    );
    expect(described.dataPlane).toMatchObject({
      overlayReason: "",
      overlayMtu: 1_450,
      wireguardPublicKey: "",
    });
    expect(described.dataPlane?.wireguardReason).not.toBe("");
  });

  test("creates assigned networks, connects tasks to them and reports their addresses", async () => {
    const spec = specIn("shop_front", "shop_back");
    const task = taskOf(spec);
    leader.sendComplete([spec], [task]);
    const waiting = await statusWith(task.id, ({ message }) => message.includes("waiting for network"));
    expect(waiting).toMatchObject({
      state: TaskState.PREPARING,
      message: expect.stringContaining("waiting for network shop_front"),
    });

    leader.sendIncrement({ networks: [FRONT, BACK] });
    const running = await statusWith(task.id, runs);
    expect(running.addresses.toSorted((a, b) => a.networkId.localeCompare(b.networkId))).toEqual([
      { networkId: "back", address: "10.65.1.2", macAddress: expect.stringMatching(MAC) },
      { networkId: "front", address: "10.64.1.2", macAddress: expect.stringMatching(MAC) },
    ]);
    const dns = await inspect(task.id, "{{index .HostConfig.Dns 0}}");
    expect(dns).toBe("10.64.1.1");
    expect(await docker.docker("network", "inspect", "--format", "{{.Internal}}", "shop_back")).toBe("true");
    const device = await docker.host.exec(["ip", "-d", "link", "show", "btv4097"]);
    expect(device.stdout).toMatch(/mtu 1450 .*master bth4097[\s\S]*vxlan id 4097/);
  });

  const names = (networkId: string, service: string, address: string): DnsEntry =>
    DnsEntry.fromPartial({
      key: `${networkId}/${service}`,
      networkId,
      serviceId: service,
      serviceName: `shop_${service}`,
      stack: "shop",
      names: [service],
      endpoints: [{ taskId: "t", nodeId: "n", address, slot: 1 }],
    });
  /** Resolves a name inside the container of a task. Returns "" when the name does not exist. */
  const lookUp = async (taskId: string, name: string): Promise<string> => {
    const [id = ""] = await docker.runningContainers(taskId);
    const asked = await docker.docker("exec", id, "busybox", "nslookup", name).catch(() => "");
    return /Name:.*\nAddress(?: 1)?: ([\d.]+)/.exec(asked)?.[1] ?? "";
  };

  test("resolves names only in the networks of the container", async () => {
    const [both = ""] = [...leader.reports.keys()];
    const frontOnly = specOf({
      serviceId: "s2",
      task: { networks: [NetworkAttachment.fromPartial({ network: "shop_front" })] },
    });
    const other = taskOf(frontOnly);
    leader.sendIncrement({
      specs: [frontOnly],
      tasks: [other],
      dnsEntries: [names("front", "api", "10.64.1.77"), names("back", "db", "10.65.1.77")],
    });
    await statusWith(other.id, runs);
    await eventually("the name resolves", async () => (await lookUp(other.id, "api")) === "10.64.1.77");
    expect(await lookUp(both, "db")).toBe("10.65.1.77");
    for (const name of ["api.shop_front", "tasks.api", "1.api", "api.shop"]) {
      expect(await lookUp(other.id, name)).toBe("10.64.1.77");
    }
    expect(await lookUp(other.id, "db")).toBe("");
    expect(await lookUp(other.id, "db.shop_back")).toBe("");

    leader.sendIncrement({ dnsEntries: [names("front", "api", "10.64.1.78")] });
    await eventually(
      "the name resolves to the new address",
      async () => (await lookUp(other.id, "api")) === "10.64.1.78",
    );
    leader.sendIncrement({ removedDnsKeys: ["front/api"] });
    await eventually("the name does not resolve", async () => (await lookUp(other.id, "api")) === "");
  });

  test("resolves names in an internal network, also while the agent is down", async () => {
    const [both = ""] = [...leader.reports.keys()];
    const internalSpec = specIn("shop_back");
    const inner = taskOf({ ...internalSpec, serviceId: "s3" });
    leader.sendIncrement({ specs: [{ ...internalSpec, serviceId: "s3" }], tasks: [inner] });
    await statusWith(inner.id, runs);
    await eventually(
      "the name resolves in the internal network",
      async () => (await lookUp(inner.id, "db")) === "10.65.1.77",
    );
    await agent.kill();
    expect(await lookUp(both, "db")).toBe("10.65.1.77");
    agent.start();
    await eventually("the agent has a session again", () => leader.sessionCount > 1);
  });

  test("restores a deleted device after a restart without a leader", async () => {
    const [before] = [...leader.reports.keys()];
    await agent.kill();
    await docker.host.exec(["ip", "link", "delete", "btv4097"]);
    leader.redirectTo = "127.0.0.1:1";
    agent.start();
    await eventually("the agent has restored the device from its state file", async () => {
      const { code } = await docker.host.exec(["ip", "link", "show", "btv4097"]);
      return code === 0;
    });
    expect(await docker.runningContainers(before ?? "")).toHaveLength(1);
    leader.redirectTo = undefined;
    await eventually("the agent has a session again", () => leader.hasSession);
  });

  test("removes a network together with its last task", async () => {
    await eventually("the agent has joined again", () => leader.sessionCount > 2);
    const spec = specIn("shop_front");
    const task = taskOf(spec);
    leader.sendComplete([spec], [task], { networks: [FRONT] });
    await statusWith(task.id, runs);
    await eventually("the unused network is removed", async () => {
      const names = await docker.docker("network", "ls", "--format", "{{.Name}}");
      return !names.includes("shop_back") && names.includes("shop_front");
    });
    leader.sendIncrement({
      removedNetworkIds: ["front"],
      tasks: [{ ...task, desiredState: DesiredState.REMOVE }],
    });
    await eventually("no device of berth is left", async () => {
      const { stdout } = await docker.host.exec(["ip", "link", "show"]);
      return !/bt[hv]\d/.test(stdout);
    });
  });

  test("rejects a task of an encrypted network when the kernel has no WireGuard and creates no network", async () => {
    const encrypted = networkWith({
      ...FRONT,
      id: "encrypted",
      spec: { name: "shop_encrypted", encrypted: true },
    });
    const spec = specIn("shop_encrypted");
    const task = taskOf(spec);
    leader.sendComplete([spec], [task], { networks: [encrypted] });
    const rejected = await statusWith(task.id, ({ state }) => state === TaskState.REJECTED);
    expect(rejected.message).toContain(
      "network shop_encrypted: this host does not support encrypted networks",
    );
    expect(await docker.docker("network", "ls", "--format", "{{.Name}}")).not.toContain("shop_encrypted");
  });
});
