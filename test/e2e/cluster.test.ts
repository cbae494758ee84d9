import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Lab } from "../../deploy/lab/lab.js";
import { run } from "../../deploy/lab/run.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { CONVERGE_TIMEOUT_MS, createCluster, deploy, waitForReplicas } from "./support/cluster.js";
import { listContainers, listRunning } from "./support/containers.js";
import { fetchBodies } from "./support/http.js";

const HOSTS = 3;

function hello(replicas: number, greeting = "hello"): string {
  return `
services:
  web:
    image: hello:1
    environment: { GREETING: ${greeting} }
    ports: ["8080:80"]
    stop_grace_period: 1s
    deploy: { replicas: ${replicas}, update_config: { parallelism: 3, monitor: 1s } }
`;
}

describe("a cluster of three hosts", () => {
  let lab: Lab;
  let foreign: string;

  beforeAll(async () => {
    lab = await createCluster(HOSTS);
    foreign = await startForeignContainer();
  });
  afterAll(() => lab?.down());

  async function startForeignContainer(): Promise<string> {
    const socket = `unix://${lab.host("h1").dockerSocket}`;
    const { code, stdout, stderr } = await run([
      "docker",
      "-H",
      socket,
      "run",
      "-d",
      "--name",
      "mine",
      "hello:1",
    ]);
    expect(code, stderr).toBe(0);
    return stdout.trim();
  }

  test("stack deploy spreads replicas evenly, waits for them and exits with 0", async () => {
    const { code, stderr } = await deploy(lab, "shop", hello(6));
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const running = await listRunning(lab, "shop_web");
    const perHost = lab.hosts.map(({ name }) => running.filter(({ host }) => host === name).length);
    expect(perHost).toEqual([2, 2, 2]);
  });

  test("every host answers on the published port and balances in turn", async () => {
    const answersByReplica = async (address: string): Promise<readonly number[]> => {
      const bodies = await fetchBodies(`http://${address}:8080/`, 12);
      return [...new Set(bodies)].map((body) => bodies.filter((other) => other === body).length);
    };
    // Hosts receive the last endpoints shortly after a deploy returns.
    for (const { address } of lab.hosts)
      await expect.poll(() => answersByReplica(address)).toEqual([2, 2, 2, 2, 2, 2]);
  });

  test("service inspect shows the endpoints and the connections of each host", async () => {
    const connectionsByHost = async (): Promise<ReadonlyMap<string, number>> => {
      const { stdout } = await lab.berth(["service", "inspect", "shop_web"]);
      const [service] = JSON.parse(stdout);
      return new Map(
        service.traffic.hosts.map((host: { hostname: string; traffic: { connections: number } }) => [
          host.hostname,
          Number(host.traffic.connections),
        ]),
      );
    };
    // A busy host may not report its counters in time.
    await expect.poll(async () => [...(await connectionsByHost()).keys()].sort()).toEqual(["h1", "h2", "h3"]);
    const hosts = await connectionsByHost();
    // Each host received at least the requests of the test above.
    for (const connections of hosts.values()) expect(connections).toBeGreaterThanOrEqual(12);
    const { stdout: pretty } = await lab.berth(["service", "inspect", "--pretty", "shop_web"]);
    expect(pretty).toMatch(/Endpoints of 8080\/tcp: .*\(shop_web\.\d on h[123]\)/);
    expect(pretty).toMatch(/h1: \d+ connections, \d+ open, 0 failed/);
  });

  test("deploying the same file again changes nothing", async () => {
    const before = await listRunning(lab, "shop_web");
    const { code } = await deploy(lab, "shop", hello(6));
    expect(code).toBe(0);
    expect(await listRunning(lab, "shop_web")).toEqual(before);
  });

  test("an invalid file is rejected with positions and does not change the stack", async () => {
    const before = await listRunning(lab, "shop_web");
    const bad =
      "services:\n  web:\n    imagee: hello:1\n    ports: ['80800:80']\n    deploy: { replicas: many }\n";
    const { code, stderr } = await deploy(lab, "shop", bad);
    expect(code).toBe(2);
    expect(stderr).toMatch(/compose\.yml:3:5.*imagee.*image/);
    expect(stderr).toMatch(/compose\.yml:4:/);
    expect(stderr).toMatch(/compose\.yml:5:/);
    expect(await listRunning(lab, "shop_web")).toEqual(before);
  });

  test("service scale adds and removes replicas without failed requests", async () => {
    expect((await lab.berth(["service", "scale", "shop_web=9"])).code).toBe(0);
    await waitForReplicas(lab, "shop_web", 9);
    expect((await lab.berth(["service", "scale", "shop_web=3"])).code).toBe(0);
    await waitForReplicas(lab, "shop_web", 3);
    await fetchBodies(`http://${lab.host("h2").address}:8080/`, 9);
  });

  test("a changed spec replaces every task", async () => {
    expect((await deploy(lab, "shop", hello(3, "ahoy"))).code).toBe(0);
    const bodies = await fetchBodies(`http://${lab.host("h3").address}:8080/`, 6);
    expect(bodies.every((body) => body.startsWith("ahoy from "))).toBe(true);
  });

  test("service ps lists each task with its host and service logs succeeds", async () => {
    const ps = await lab.berth(["service", "ps", "shop_web"]);
    expect(ps.stdout).toMatch(/shop_web\.1 .*hello:1.*h[123].*Running/);
    expect((await lab.berth(["service", "logs", "shop_web"])).code).toBe(0);
  });

  test("a drained node loses its tasks and receives tasks again once it is active", async () => {
    expect((await lab.berth(["node", "update", "--availability", "drain", "h2"])).code).toBe(0);
    await waitUntil(async () => (await listRunning(lab, "shop_web")).every(({ host }) => host !== "h2"), {
      what: "h2 to run no tasks",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
    await waitForReplicas(lab, "shop_web", 3);
    expect((await lab.berth(["node", "update", "--availability", "active", "h2"])).code).toBe(0);
    expect((await lab.berth(["service", "scale", "shop_web=6"])).code).toBe(0);
    expect((await listRunning(lab, "shop_web")).some(({ host }) => host === "h2")).toBe(true);
  });

  test("a task that cannot be placed fails the deploy, with the reason", async () => {
    const compose =
      "services:\n  big:\n    image: hello:1\n    deploy: { resources: { reservations: { memory: 900G } } }\n";
    const { code, stderr } = await deploy(lab, "huge", compose, "--timeout", "5s");
    expect(code).toBe(1);
    expect(stderr).toMatch(/3 nodes lack .*memory/);
    expect((await lab.berth(["stack", "rm", "huge"])).code).toBe(0);
  });

  test("an image that does not exist fails the deploy, with its name in the error", async () => {
    const { code, stderr } = await deploy(
      lab,
      "gone",
      "services:\n  x:\n    image: 127.0.0.1:9/no/such:1\n",
      "--timeout",
      "30s",
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(/127\.0\.0\.1:9\/no\/such:1/);
    expect((await lab.berth(["stack", "rm", "gone"])).code).toBe(0);
  });

  test("a global service runs once on every node", async () => {
    expect(
      (await deploy(lab, "each", "services:\n  x:\n    image: hello:1\n    deploy: { mode: global }\n")).code,
    ).toBe(0);
    expect((await listRunning(lab, "each_x")).map(({ host }) => host).sort()).toEqual(["h1", "h2", "h3"]);
    expect((await lab.berth(["stack", "rm", "each"])).code).toBe(0);
  });

  test("stack rm removes the whole stack and no other containers", async () => {
    expect((await lab.berth(["stack", "rm", "shop"])).code).toBe(0);
    const left = await listContainers(lab);
    expect(left.map(({ id, running }) => ({ id, running }))).toEqual([{ id: foreign, running: true }]);
    const keys = await lab.serverMachine.berthServer.etcdctl([
      "get",
      "--prefix",
      "/berth/v1/",
      "--keys-only",
    ]);
    expect(keys.stdout).toMatch(/nodes/);
    expect(keys.stdout).not.toMatch(/tasks|services|names/);
  });
});
