import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BERTH_PATH, cliCommand } from "../../deploy/lab/berth-commands.js";
import type { Lab } from "../../deploy/lab/lab.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { DEFAULT_USER } from "../../packages/agent/src/agent/ingress-user.js";
import { INGRESS_CAPABILITIES, isInstalledForAll, privilegesOf } from "../harness/ingress-user.js";
import { CONVERGE_TIMEOUT_MS, createCluster, deploy } from "./support/cluster.js";
import { listRunning } from "./support/containers.js";
import { fetchReply } from "./support/http.js";
import { docker, listProblems, listTasks } from "./support/tasks.js";
import { requestUdp } from "./support/udp.js";

const SHOP = fileURLToPath(new URL("../../deploy/images/shop", import.meta.url));

function web(ports: string, more = ""): string {
  return `
services:
  web:
    image: hello:1
    ports: ${ports}
    stop_grace_period: 1s
    ${more}
`;
}

const hostMode = (replicas: number): string =>
  web("[{ mode: host, published: 9000, target: 80 }]", `deploy: { replicas: ${replicas} }`);

const UDP_ECHO = `
  const socket = require("node:dgram").createSocket("udp4");
  socket.on("message", (text, { port, address }) => socket.send("echo " + text, port, address));
  socket.bind(5353);
`;

describe("published ports", () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await createCluster(2);
  });
  afterAll(() => lab?.down());

  const url = (host: string, port: number): string => `http://${lab.host(host).address}:${port}/`;
  const refused = (host: string, port: number): Promise<void> =>
    expect(fetchReply(url(host, port))).rejects.toThrow(/ECONNREFUSED/);

  test.skipIf(!isInstalledForAll(BERTH_PATH))(
    "ingress-user: the ingress process runs as a dedicated user with few capabilities, and opens ports below 1024",
    async () => {
      expect((await deploy(lab, "low", web('["80:80"]'))).code).toBe(0);
      for (const host of lab.hosts) {
        expect(await fetchReply(url(host.name, 80))).toMatch(/^hello from /);
        const [ingress] = host.processes("ingress");
        expect(privilegesOf(ingress?.pid ?? 0)).toMatchObject({
          Uid: Array(4).fill(DEFAULT_USER.uid).join("\t"),
          NoNewPrivs: "1",
          CapEff: INGRESS_CAPABILITIES,
          CapBnd: INGRESS_CAPABILITIES,
        });
        expect(await listProblems(lab, host.name)).toEqual([]);
      }
    },
  );

  test("mode host: only the task's host answers", async () => {
    expect((await deploy(lab, "hosted", hostMode(1))).code).toBe(0);
    const [task] = await listRunning(lab, "hosted_web");
    const there = task?.host ?? "";
    expect(await fetchReply(url(there, 9000))).toContain(`hello from ${task?.id.slice(0, 12)}`);
    await refused(there === "h1" ? "h2" : "h1", 9000);
  });

  test("tasks in mode host never share a host's port and report why they have no host", async () => {
    const { code, stdout, stderr } = await deploy(lab, "hosted", hostMode(3), "--timeout", "8s");
    expect(code).toBe(1);
    expect(stdout + stderr).toMatch(/9000.tcp is taken by another task on 2 nodes/);
    await expect
      .poll(async () => (await listRunning(lab, "hosted_web")).map(({ host }) => host).sort())
      .toEqual(["h1", "h2"]);
    const running = await listRunning(lab, "hosted_web");
    for (const { host, id } of running) expect(await fetchReply(url(host, 9000))).toContain(id.slice(0, 12));
    const waiting = (await listTasks(lab, "hosted_web")).filter(({ node }) => node === "");
    expect(waiting).toMatchObject([{ state: "pending", message: expect.stringMatching(/9000/) }]);
  });

  test("a host-mode port on an address runs on the host that has it, or says that no host does", async () => {
    const bound = (address: string): string =>
      web(`[{ mode: host, host_ip: ${address}, published: 9100, target: 80 }]`, "deploy: { replicas: 1 }");
    const { address } = lab.host("h2");
    const { code, stderr } = await deploy(lab, "bound", bound(address));
    expect(code, stderr).toBe(0);
    expect((await listRunning(lab, "bound_web")).map(({ host }) => host)).toEqual(["h2"]);
    expect(await fetchReply(url("h2", 9100))).toMatch(/^hello from /);
    const other = await deploy(lab, "absent", bound("192.0.2.99"), "--timeout", "5s");
    expect(other.code).toBe(1);
    expect(other.stdout + other.stderr).toContain("2 nodes do not have the address 192.0.2.99");
    expect((await lab.berth(["stack", "rm", "bound", "absent"])).code).toBe(0);
  });

  test("port-forward reaches a port that is not published, with several connections at a time", async () => {
    const inner = "services: { web: { image: hello:1, stop_grace_period: 1s } }";
    expect((await deploy(lab, "inner", inner)).code).toBe(0);
    const [program = "", ...words] = cliCommand(["port-forward", "inner_web", ":80"]);
    const child = spawn(program, words, { env: lab.cliEnv(), stdio: ["ignore", "pipe", "inherit"] });
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    const [, port] = /127\.0\.0\.1:(\d+) -> 80/.exec(String(line)) ?? [];
    const bodies = await Promise.all(
      Array.from({ length: 5 }, () => fetchReply(`http://127.0.0.1:${port}/`)),
    );
    const [task] = await listRunning(lab, "inner_web");
    for (const body of bodies) expect(body).toContain(`hello from ${task?.id.slice(0, 12)}`);
    child.kill("SIGINT");
    expect(await once(child, "exit")).toEqual([0, null]);
  });

  test("every host answers on a UDP port", async () => {
    await lab.loadImage(SHOP, "shop:1");
    const echo = `
services:
  echo:
    image: shop:1
    command: ["-e", ${JSON.stringify(UDP_ECHO)}]
    ports: ["5353:5353/udp"]
    stop_grace_period: 1s
`;
    const { code, stderr } = await deploy(lab, "udp", echo);
    expect(code, stderr).toBe(0);
    for (const { address } of lab.hosts) expect(await requestUdp(address, 5353, "hi")).toBe("echo hi");
  });

  test("a range of published ports with one target publishes the first free port", async () => {
    const { code, stderr } = await deploy(lab, "choice", web('["8100-8102:80"]'));
    expect(code, stderr).toBe(0);
    for (const { name } of lab.hosts) {
      expect(await fetchReply(url(name, 8100))).toMatch(/^hello from /);
      await refused(name, 8101);
    }
  });

  test("a range of published ports with a range of targets maps each port to its own target", async () => {
    const second = "mkdir -p /tmp/two && echo two >/tmp/two/index.html && busybox httpd -p 81 -h /tmp/two";
    const command = `command: ["/usr/bin/busybox", "sh", "-c", "${second} && exec /usr/bin/hello"]`;
    const { code, stderr } = await deploy(lab, "range", web('["8110-8111:80-81"]', command));
    expect(code, stderr).toBe(0);
    for (const { name } of lab.hosts) {
      expect(await fetchReply(url(name, 8110))).toMatch(/^hello from /);
      expect(await fetchReply(url(name, 8111))).toBe("two\n");
    }
  });

  test("a port on 127.0.0.1 answers its own host only", async () => {
    const { code, stderr } = await deploy(lab, "local", web('["127.0.0.1:8200:80"]'));
    expect(code, stderr).toBe(0);
    for (const host of lab.hosts) {
      const { stdout } = await host.exec(["busybox", "wget", "-qO-", "http://127.0.0.1:8200/"]);
      expect(stdout).toMatch(/^hello from /);
      await refused(host.name, 8200);
    }
  });

  test("a port that another program uses on one host is a problem of that node, not of the deploy", async () => {
    const occupant = await docker(lab.host("h1"), "run", "-d", "-p", "8300:80", "hello:1");
    const { code, stderr } = await deploy(lab, "taken", web('["8300:80"]'));
    expect(code, stderr).toBe(0);
    const [task] = await listRunning(lab, "taken_web");
    expect(await fetchReply(url("h2", 8300))).toContain(task?.id.slice(0, 12));
    const problem = /cannot publish 8300\/tcp for taken_web: docker-proxy \(pid \d+\) already listens/;
    const hasProblem = async (host: string, pattern = problem): Promise<boolean> =>
      (await listProblems(lab, host)).some((text) => pattern.test(text));
    const wait = { what: "the node to report the problem", timeoutMs: CONVERGE_TIMEOUT_MS };
    await waitUntil(() => hasProblem("h1"), wait);
    expect(await hasProblem("h2")).toBe(false);

    await docker(lab.host("h1"), "rm", "-f", occupant);
    await waitUntil(async () => !(await hasProblem("h1", /cannot publish 8300/)), {
      what: "the node to report the problem no longer",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
    expect(await fetchReply(url("h1", 8300))).toContain(task?.id.slice(0, 12));
  });
});
