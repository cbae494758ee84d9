import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { NodeState } from "@berth/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createLab, type Lab } from "../../deploy/lab/lab.js";
import { testLabName } from "../../deploy/lab/lab-state.js";
import { removeLab } from "../../deploy/lab/teardown.js";
import { run } from "../../packages/cli/src/main.js";
import { fakeCli } from "../../packages/cli/src/testing/fake-cli.js";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";
import { eventually } from "../harness/eventually.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { TestCluster } from "../harness/test-cluster.js";
import { AgentProcess } from "./agent/agent-process.js";
import { importBusybox } from "./agent/busybox-image.js";
import { LabRegistry, REGISTRY } from "./agent/lab-registry.js";
import { IMAGE } from "./agent/specs.js";

const exec = promisify(execFile);
const HOSTS = ["h1", "h2"] as const;
type Host = (typeof HOSTS)[number];

const APP = `${REGISTRY}/shop/app:1`;
/** Without networks, which the agents could not create: they run outside of the hosts of their daemons. */
const COMPOSE = `
services:
  app:
    image: \${IMAGE}
    command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"]
    network_mode: bridge
    stop_grace_period: 1s
    deploy:
      replicas: 2
      placement: { max_replicas_per_node: 1 }
      update_config: { order: stop-first, parallelism: 2, monitor: 100ms }
`;

const directory = temporaryDirectory();
let lab: Lab;
let etcd: TestEtcd;
let cluster: TestCluster;
let socket = "";
const agents: AgentProcess[] = [];
const registries: LabRegistry[] = [];

beforeAll(async () => {
  lab = await createLab({ name: testLabName(), hosts: HOSTS.length, hasBerth: false });
  await importBusybox(HOSTS.map((host) => lab.host(host).dockerSocket));
  for (const host of HOSTS) registries.push(await LabRegistry.start(lab.host(host), directory));
  etcd = await startTestEtcd();
  cluster = new TestCluster(etcd.endpoint);
  const server = await cluster.startServer();
  ({ socket } = server);
  for (const [index, host] of HOSTS.entries()) {
    const dataDir = join(directory, host);
    mkdirSync(dataDir);
    await cluster.admitAgent(host, dataDir);
    const { dockerSocket } = lab.host(host);
    const args = ["--advertise", `127.0.0.${index + 1}`];
    agents.push(new AgentProcess({ servers: [server.address], dockerSocket, dataDir, args }));
  }
  await eventually("both nodes are ready", async () => {
    const { nodes } = await server.calls.listNodes({});
    const ready = nodes.filter(
      ({ node }) => node?.state === NodeState.READY && node.description?.engineReady,
    );
    return ready.length === HOSTS.length;
  });
  await writeFile(join(directory, "c.yaml"), COMPOSE);
}, 180_000);

afterAll(async () => {
  await Promise.all(agents.map((agent) => agent.stopWithIngress()));
  await cluster?.close();
  await etcd?.close();
  await Promise.all(registries.map((registry) => registry.stop()));
  if (lab !== undefined) await removeLab(lab.name);
  await rm(directory, { recursive: true, force: true });
});

async function docker(host: Host, ...args: string[]): Promise<string> {
  const { stdout } = await exec("docker", ["-H", `unix://${lab.host(host).dockerSocket}`, ...args]);
  return stdout.trim();
}

/** Creates an image that differs by an environment variable, and pushes it. Returns its digest. */
async function publish(release: string): Promise<string> {
  const container = await docker("h1", "create", IMAGE, "sh");
  await docker("h1", "commit", "--change", `ENV RELEASE=${release}`, container, APP);
  await docker("h1", "rm", container);
  const pushed = await docker("h1", "push", APP);
  return /digest: (sha256:[0-9a-f]{64})/.exec(pushed)?.[1] ?? "";
}

/** Runs a command line, which is split at spaces. */
async function berth(line: string, image = APP): Promise<{ code: number; out: string; err: string }> {
  const cli = fakeCli({ env: { BERTH_SERVER: `unix:${socket}`, IMAGE: image }, cwd: directory });
  const code = await run(line.split(" "), cli);
  return { code, out: cli.out(), err: cli.err() };
}

/** Returns the running container of a host. */
const containerOn = (host: Host): Promise<string> => docker(host, "ps", "-q", "--no-trunc");

/** Returns the release that runs on each host, once it is the same on all hosts. */
async function runningRelease(): Promise<string> {
  const releases = await Promise.all(
    HOSTS.map(async (host) => {
      const variables = await docker(host, "exec", await containerOn(host), "env");
      return /^RELEASE=(.*)$/m.exec(variables)?.[1] ?? "none";
    }),
  );
  return [...new Set(releases)].join(" and ");
}

async function inspect(): Promise<{ image: string; imageDigest: string; version: number }> {
  const [service] = JSON.parse((await berth("service inspect shop_app")).out);
  return service;
}

describe("a stack whose image has a tag in a registry", () => {
  let first = "";
  let second = "";

  test("a stack is deployed with the digest of its tag, and is unchanged while the tag stays", async () => {
    first = await publish("first");
    expect(await berth("stack deploy -c c.yaml shop")).toMatchObject({ code: 0, err: "" });
    expect(await inspect()).toMatchObject({ image: APP, imageDigest: first, version: 1 });
    for (const host of HOSTS) {
      const name = await docker(host, "inspect", "--format", "{{.Config.Image}}", await containerOn(host));
      expect(name).toBe(`${APP}@${first}`);
    }
    expect(await runningRelease()).toBe("first");
    const again = await berth("stack deploy -c c.yaml shop");
    expect(again).toMatchObject({ code: 0, out: expect.stringContaining("Service shop_app unchanged") });
  });

  test("runs the old content in a replacement after the tag has moved", async () => {
    second = await publish("second");
    expect(second).not.toBe(first);
    const before = await containerOn("h2");
    // The image goes first: the task is replaced as soon as its container is gone.
    await docker("h2", "rmi", "--force", `${REGISTRY}/shop/app@${first}`);
    await docker("h2", "rm", "-f", before);
    await eventually("the task is replaced", async () => {
      const after = await containerOn("h2");
      return after !== "" && after !== before;
    });
    expect(await runningRelease()).toBe("first");
    const image = await docker("h2", "inspect", "--format", "{{.Config.Image}}", await containerOn("h2"));
    expect(image).toBe(`${APP}@${first}`);
  });

  test("keeps its digest with --resolve-image changed and never", async () => {
    for (const mode of ["changed", "never"]) {
      const deployed = await berth(`stack deploy -c c.yaml --detach --resolve-image ${mode} shop`);
      expect(deployed).toMatchObject({ code: 0, out: expect.stringContaining("Service shop_app unchanged") });
    }
    expect((await inspect()).imageDigest).toBe(first);
  });

  test("a deployment rolls a stack to the new content of its tag, and a rollback rolls it back", async () => {
    const plan = await berth("stack deploy -c c.yaml --dry-run shop");
    expect(plan.out).toContain(`task.container.image_digest: ${first} → ${second}`);
    expect((await inspect()).version).toBe(1);
    expect(await berth("stack deploy -c c.yaml shop")).toMatchObject({ code: 0, err: "" });
    expect([await runningRelease(), (await inspect()).imageDigest]).toEqual(["second", second]);
    expect(await berth("service rollback shop_app")).toMatchObject({ code: 0 });
    expect([await runningRelease(), (await inspect()).imageDigest]).toEqual(["first", first]);
  });

  test("service update --force resolves a tag again", async () => {
    expect(await berth("service update --env-add A=1 shop_app")).toMatchObject({ code: 0, err: "" });
    expect(await runningRelease()).toBe("first");
    expect(await berth("service update --force shop_app")).toMatchObject({ code: 0, err: "" });
    expect([await runningRelease(), (await inspect()).imageDigest]).toEqual(["second", second]);
  });

  test("keeps running, with a warning, when the registry is down", async () => {
    expect(await berth("service update --env-rm A shop_app")).toMatchObject({ code: 0, err: "" });
    for (const registry of registries) await registry.stop();
    const deployed = await berth("stack deploy -c c.yaml shop");
    expect(deployed.out).toContain("Service shop_app unchanged");
    expect(deployed.err).toMatch(
      /^warning: image \S+ could not be resolved to a digest: .*refused.*; shop_app keeps sha256:/s,
    );
    expect(await runningRelease()).toBe("second");
  });
});

test("a stack whose image is only on the hosts runs its tag without a question to a registry", async () => {
  const deployed = await berth("stack deploy -c c.yaml shop", IMAGE);
  expect(deployed).toMatchObject({ code: 0, err: "" });
  expect(await inspect()).toMatchObject({ image: IMAGE, imageDigest: "" });
  expect(await runningRelease()).toBe("none");
});
