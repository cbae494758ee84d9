import {
  BerthError,
  FileKind,
  GetServiceTrafficResponse,
  Health,
  IngressEntry,
  ListNodesResponse,
  PortSpec_Protocol,
  Rollout_State,
  TaskState,
} from "@berth/proto";
import { describe, expect, test, vi } from "vitest";
import { webService, webTask } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

/** The tests wait in real time, and the machine may be busy. */
vi.setConfig({ testTimeout: 60_000 });

const hourAgo = Date.now() - 3_600_000;
const { service: record } = webService();

const paused = webService({
  running: 1,
  converged: false,
  reasons: ["the update is paused"],
  service: {
    ...record,
    version: 4,
    healthyVersion: 3,
    rollout: {
      state: Rollout_State.PAUSED,
      fromVersion: 3,
      toVersion: 4,
      startedAtMs: hourAgo,
      endedAtMs: hourAgo,
      updatedSlots: 1,
      failedCount: 1,
      failedSlots: ["2"],
      message: "1 of 2 failed: exit code 1",
    },
    autoscale: { replicas: 2, changedAtMs: hourAgo, message: "CPU is at 80 %" },
    spec: { ...record?.spec, autoscale: { min: 2, max: 5, targetCpuPercent: 70 } },
  },
});

const cron = webService({
  running: 0,
  desired: 0,
  completed: 5,
  service: {
    ...record,
    spec: {
      ...record?.spec,
      mode: { $case: "replicatedJob", value: { totalCompletions: 5, maxConcurrent: 2 } },
      cron: { schedule: "0 3 * * *" },
    },
    job: { iteration: 2, startedAtMs: hourAgo, endedAtMs: hourAgo },
    cron: {
      nextRunAtMs: Date.now() + 7_200_500,
      runs: [
        { iteration: 2, startedAtMs: hourAgo, endedAtMs: hourAgo },
        {
          iteration: 1,
          startedAtMs: hourAgo,
          endedAtMs: hourAgo,
          failed: true,
          message: "2 of 5 tasks failed",
        },
      ],
    },
  },
});

const revisions = [
  { version: 4, image: "nginx:1.28", imageDigest: `sha256:${"0123456789abcdef".repeat(4)}` },
  { version: 3, image: "nginx:1.27", imageDigest: "" },
];

describe("service inspect", () => {
  test("--pretty prints the rollout, the last healthy version and the autoscaling", async () => {
    const getService = async () => ({ service: paused, ingress: [], revisions });
    expect((await berth("service inspect --pretty shop_web", { getService })).out).toMatchInlineSnapshot(`
      "ID:         svcwebxxxxxxxxxxxx
      Name:       shop_web
      Stack:      shop
      Mode:       Replicated
      Replicas:   1/2 (autoscale 2 to 5, update paused)
      Pending:    the update is paused
      Version:    4 (last healthy: 3)
      Revisions:  4: nginx:1.28 (sha256:0123456789ab)
                  3: nginx:1.27
      Rollout:    paused, version 3 to 4, 1 updated, 1 failed, ended about an hour ago
                  1 of 2 failed: exit code 1
      Autoscale:  2 replicas, changed about an hour ago: CPU is at 80 %
      Image:      nginx:1.27
      Ports:      *:8080->80/tcp
      "
    `);
  });

  test("prints the tag of the image and the digest that it was resolved to", async () => {
    const imageDigest = `sha256:${"0123456789abcdef".repeat(4)}`;
    const spec = { ...record?.spec, task: { container: { image: "nginx:1.27", imageDigest } } };
    const getService = async () => ({
      service: webService({ service: { ...record, spec } }),
      ingress: [],
      revisions: [],
    });
    const { out } = await berth("service inspect --pretty shop_web", { getService });
    expect(out.match(/^(?:Image|Digest): .*$/gm)).toEqual([
      "Image:     nginx:1.27",
      `Digest:    ${imageDigest}`,
    ]);
    const json = await berth("service inspect shop_web", { getService });
    expect(JSON.parse(json.out)).toMatchObject([{ image: "nginx:1.27", imageDigest }]);
  });

  test("--pretty prints secrets and configs with their targets", async () => {
    const files = [
      { kind: FileKind.SECRET, name: "shop_key", target: "/run/secrets/key", mode: 0o400 },
      { kind: FileKind.CONFIG, name: "nginx", target: "/etc/nginx.conf" },
    ];
    const spec = { ...record?.spec, task: { container: { image: "nginx", files } } };
    const getService = async () => ({
      service: webService({ service: { ...record, spec } }),
      ingress: [],
      revisions: [],
    });
    const { out } = await berth("service inspect --pretty shop_web", { getService });
    expect(out.match(/^(?:Secrets|Configs): .*$/gm)).toEqual([
      "Secrets:   shop_key -> /run/secrets/key",
      "Configs:   nginx -> /etc/nginx.conf",
    ]);
  });

  test("--pretty prints the schedule of a job and its runs", async () => {
    const getService = async () => ({ service: cron, ingress: [], revisions: [] });
    expect((await berth("service inspect --pretty shop_web", { getService })).out).toMatchInlineSnapshot(`
      "ID:        svcwebxxxxxxxxxxxx
      Name:      shop_web
      Stack:     shop
      Mode:      Replicated-job
      Replicas:  5/5 completed
      Version:   1
      Schedule:  0 3 * * * (UTC), next in 2 hours
      Runs:      2: completed, ended about an hour ago
                 1: failed, ended about an hour ago: 2 of 5 tasks failed
      Image:     nginx:1.27
      Ports:     *:8080->80/tcp
      "
    `);
  });

  test("--pretty prints the endpoints of each port and the traffic of each host", async () => {
    const at = (slot: number) => ({
      taskId: `t${slot}`,
      nodeId: `n${slot}`,
      address: `10.0.0.${slot}`,
      port: 80,
    });
    const ports = { published: 8080, endpoints: [at(1)], draining: [at(2)] };
    const entry = IngressEntry.fromPartial({ key: "tcp//8080", protocol: PortSpec_Protocol.TCP, ...ports });
    const getService = async () => ({ service: paused, ingress: [entry], revisions: [] });
    const traffic = {
      connections: 7,
      active: 2,
      failed: 1,
      retried: 3,
      tasks: [{ taskId: "t1", ejected: true }],
    };
    const answer = { hosts: [{ nodeId: "n1", hostname: "h1", traffic }], unresponsive: ["h3"] };
    const getServiceTraffic = async () => GetServiceTrafficResponse.fromPartial(answer);
    const status = { state: TaskState.RUNNING, health: Health.HEALTHY };
    const listTasks = async () => ({
      tasks: [webTask({ id: "t1", slot: 1, status }), webTask({ id: "t2", slot: 2 })],
    });
    const node = { id: "n1", description: { hostname: "h1" } };
    const listNodes = async () => ListNodesResponse.fromPartial({ nodes: [{ node }] });
    const calls = { getService, getServiceTraffic, listTasks, listNodes };
    const { out } = await berth("service inspect --pretty shop_web", calls);
    expect(out.split("\n").slice(-5)).toMatchInlineSnapshot(`
      [
        "Endpoints of 8080/tcp:  10.0.0.1:80 (shop_web.1 on h1, healthy)",
        "                        10.0.0.2:80 (shop_web.2 on n2), draining",
        "Traffic:                h1: 7 connections, 2 open, 1 failed, 3 retried, 1 endpoint ejected",
        "                        h3: no response",
        "",
      ]
    `);
    const [found] = JSON.parse((await berth("service inspect shop_web", calls)).out);
    expect(found).toMatchObject({
      ingress: [{ endpoints: ["10.0.0.1:80"], draining: ["10.0.0.2:80"], tasks: ["t1", "t2"] }],
      traffic: { hosts: [{ hostname: "h1", traffic: { connections: 7 } }], unresponsive: ["h3"] },
    });
  });

  describe("without the traffic of the service", () => {
    const port = { key: "tcp//8080", protocol: PortSpec_Protocol.TCP, published: 8080 };
    const calls = {
      getService: async () => ({ service: paused, ingress: [IngressEntry.fromPartial(port)], revisions: [] }),
      listTasks: async () => ({ tasks: [] }),
      listNodes: async () => ({ nodes: [] }),
    };

    test("prints the service and no warning if the leader does not support the call", async () => {
      const { code, out, err } = await berth("service inspect shop_web", calls);
      expect([code, err]).toEqual([0, ""]);
      expect(JSON.parse(out)).toMatchObject([{ name: "shop_web", traffic: null }]);
    });

    test("prints the service and a warning if the call fails", async () => {
      const getServiceTraffic = async () => {
        throw new BerthError({ code: "BERTH_ETCD_UNAVAILABLE", message: "etcd does not respond" });
      };
      const { code, out, err } = await berth("service inspect shop_web", { ...calls, getServiceTraffic });
      expect(code).toBe(0);
      expect(JSON.parse(out)).toMatchObject([{ name: "shop_web", traffic: null }]);
      expect(err).toBe("warning: cannot get traffic figures of shop_web: etcd does not respond\n");
    });

    test("prints the service and a warning if the call times out", async () => {
      const getServiceTraffic = () => new Promise<never>(() => {});
      const line = "service inspect --pretty shop_web";
      const { code, out, err } = await berth(line, { ...calls, getServiceTraffic });
      expect(code).toBe(0);
      expect(out).toContain("Endpoints of 8080/tcp:  none");
      expect(err).toMatch(/^warning: cannot get traffic figures of shop_web: .* did not respond in time\n$/);
    });
  });

  test("JSON contains the same details with names of states", async () => {
    const getService = async () => ({ service: paused, ingress: [], revisions });
    const [found] = JSON.parse((await berth("service inspect shop_web", { getService })).out);
    expect(found).toMatchObject({
      healthyVersion: 3,
      revisions,
      reasons: ["the update is paused"],
      rollout: { state: "paused", fromVersion: 3, toVersion: 4, failedSlots: ["2"] },
      autoscale: { replicas: 2 },
      job: null,
      cron: null,
    });
  });
});

test("service ls prints modes, completions, rollouts and autoscaling", async () => {
  const listServices = async () => ({ services: [paused, cron] });
  const { out } = await berth("service ls", { listServices });
  expect(out).toMatchInlineSnapshot(`
    "ID             NAME       MODE             REPLICAS                                IMAGE        PORTS
    svcwebxxxxxx   shop_web   replicated       1/2 (autoscale 2 to 5, update paused)   nginx:1.27   *:8080->80/tcp
    svcwebxxxxxx   shop_web   replicated-job   5/5 completed                           nginx:1.27   *:8080->80/tcp
    "
  `);
  expect((await berth("service ls -q -f mode=replicated-job", { listServices })).out).not.toBe("");
});

test("service ps prints the complete reason why a task has no node", async () => {
  const message = "2 nodes lack 1.5 GiB memory, 1 node is drained, 3 nodes do not meet node.labels.zone == a";
  const { out } = await berth("service ps shop_web", {
    listServices: async () => ({ services: [webService()] }),
    listNodes: async () => ({ nodes: [] }),
    listTasks: async () => ({ tasks: [webTask({ nodeId: "", status: { state: 1, message } })] }),
  });
  expect(out).toContain(message);
});
