import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { failuresSince, HttpTraffic, type RequestOutcome } from "../../deploy/lab/http-traffic.js";
import type { Lab } from "../../deploy/lab/lab.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import {
  CONVERGE_TIMEOUT_MS,
  createCluster,
  deploy,
  readyNodes,
  waitForReplicas,
} from "./support/cluster.js";
import { type Container, listContainers, listRunning, readStartedAt } from "./support/containers.js";
import { REPLY_TIMEOUT_MS } from "./support/http.js";
import { docker } from "./support/tasks.js";

const REPLICAS = 6;
const COMPOSE = `
services:
  web:
    image: hello:1
    ports: ["8080:80"]
    stop_grace_period: 1s
    deploy: { replicas: ${REPLICAS} }
`;

/** Traffic goes to h1, which never runs the only replica. */
const SINGLE = `
services:
  web:
    image: hello:1
    ports: ["8081:80"]
    stop_grace_period: 1s
    deploy:
      placement: { constraints: ["node.hostname != h1"] }
      update_config: { order: stop-first }
    x-berth: { hold: 30s }
`;
/** Time that new connections wait for `SINGLE`. A busy machine needs longer than the default of 10 s. */
const HOLD_MS = 30_000;

/** Errors of a connection that ended after the container had accepted it. */
const LOST_REPLY = /ECONNRESET|socket hang up/;

interface TrafficOptions {
  readonly port?: number;
  /** `hello` queues at most 9 connections that it has not accepted yet, which a busy machine exceeds. */
  readonly perSecond?: number;
  readonly timeoutMs?: number;
}

const BUSYBOX = "/usr/bin/busybox";
/** The companion stores the answer of its owner in a volume that only its owner mounts. */
const BESIDE = `
services:
  app:
    image: hello:1
    volumes: [/data]
    stop_grace_period: 1s
    deploy: { placement: { constraints: ["node.hostname != h1"] } }
  companion:
    image: hello:1
    command:
      - ${BUSYBOX}
      - sh
      - -c
      - until ${BUSYBOX} wget -qO /data/answer http://127.0.0.1/; do ${BUSYBOX} sleep 0.1; done; exec ${BUSYBOX} sleep 10000
    network_mode: service:app
    pid: service:app
    volumes_from: [app]
    stop_grace_period: 1s
`;

describe("the loss of a host", () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await createCluster(3);
    expect((await deploy(lab, "shop", COMPOSE)).code).toBe(0);
  });
  afterAll(() => lab?.down());

  async function untilReady(hosts: number): Promise<void> {
    await waitUntil(async () => (await readyNodes(lab)).length === hosts, {
      what: `${hosts} ready nodes`,
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
  }

  /**
   * Runs `fault` and then `untilRepaired` under constant traffic to h1. Expects that only requests fail that were sent
   * before `fault` returned: they may have been in flight on what it kills. A busy machine has more of them.
   */
  async function expectOnlyInFlightLost(
    fault: () => Promise<unknown>,
    untilRepaired: () => Promise<unknown>,
    options?: TrafficOptions,
  ): Promise<void> {
    let faultMs = Number.POSITIVE_INFINITY;
    const outcomes = await underTraffic(async () => {
      await fault();
      faultMs = performance.now();
      await untilRepaired();
    }, options);
    expect(outcomes.filter(({ sentAtMs }) => sentAtMs >= faultMs).length).toBeGreaterThan(0);
    expect(failuresSince(outcomes, faultMs)).toEqual([]);
  }

  /** Runs `disruption` under constant traffic to h1 and returns the outcomes of the requests. */
  async function underTraffic(
    disruption: () => Promise<void>,
    { port = 8_080, perSecond = 50, timeoutMs = REPLY_TIMEOUT_MS }: TrafficOptions = {},
  ): Promise<readonly RequestOutcome[]> {
    const traffic = new HttpTraffic({
      url: `http://${lab.host("h1").address}:${port}/`,
      perSecond,
      timeoutMs,
      replicaOf: (body) => body.trim(),
    });
    traffic.start();
    try {
      await disruption();
    } finally {
      await traffic.stop();
    }
    return traffic.outcomes;
  }

  test("a power cut moves replicas to other hosts and fails only requests in flight on the dead host", async () => {
    await expectOnlyInFlightLost(
      () => lab.host("h3").kill(),
      () => waitForReplicas(lab, "shop_web", REPLICAS),
    );
    expect(await readyNodes(lab)).toEqual(["h1", "h2"]);
  });

  test("a returned host removes its old containers without restarting any other container", async () => {
    const before = await listRunning(lab, "shop_web");
    await lab.host("h3").start();
    await untilReady(3);
    await waitUntil(async () => (await listContainers(lab)).every(({ host }) => host !== "h3"), {
      what: "the old containers of h3 to be removed",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
    expect(await listRunning(lab, "shop_web")).toEqual(before);
  });

  test("every slot runs once after a partition of a host has healed", async () => {
    expect((await lab.berth(["service", "scale", `shop_web=${REPLICAS + 3}`])).code).toBe(0);
    await expectOnlyInFlightLost(
      () => lab.host("h3").partition(),
      () =>
        waitUntil(async () => (await readyNodes(lab)).length === 2, {
          what: "h3 to be down",
          timeoutMs: CONVERGE_TIMEOUT_MS,
        }),
    );
    await lab.host("h3").heal();
    await untilReady(3);
    await waitForReplicas(lab, "shop_web", REPLICAS + 3);
  });

  test("the last host runs all replicas when two of three hosts fail at once", async () => {
    await Promise.all([lab.host("h2").kill(), lab.host("h3").kill()]);
    await waitForReplicas(lab, "shop_web", REPLICAS + 3);
    await Promise.all([lab.host("h2").start(), lab.host("h3").start()]);
    await untilReady(3);
    await waitForReplicas(lab, "shop_web", REPLICAS + 3);
  });

  test("new connections to a single replica wait while it is killed, updated, drained or lost with its host", async () => {
    expect((await deploy(lab, "single", SINGLE)).code).toBe(0);
    const traffic: TrafficOptions = { port: 8_081, perSecond: 10, timeoutMs: HOLD_MS };
    const berth = (...args: string[]): Promise<unknown> => lab.berth(args);
    const replica = async (): Promise<Container> => {
      const [running] = await listRunning(lab, "single_web");
      if (running === undefined) throw new Error("the replica does not run");
      return running;
    };
    const untilReplaced = ({ id: former }: Container): Promise<true> =>
      waitUntil(async () => (await listRunning(lab, "single_web")).some(({ id }) => id !== former), {
        what: "the next replica",
        timeoutMs: CONVERGE_TIMEOUT_MS,
      });
    const expectKillHeld = async (kill: (victim: Container) => Promise<unknown>): Promise<void> => {
      const victim = await replica();
      await expectOnlyInFlightLost(
        () => kill(victim),
        () => untilReplaced(victim),
        traffic,
      );
    };
    const expectChangeHeld = async (change: (former: Container) => Promise<unknown>): Promise<void> => {
      const former = await replica();
      const outcomes = await underTraffic(async () => {
        await change(former);
        await untilReplaced(former);
      }, traffic);
      expect(outcomes.length).toBeGreaterThan(0);
      // The image `hello` exits on SIGTERM without a reply to the requests that it has accepted.
      const notAccepted = failuresSince(outcomes, 0).filter(({ reason }) => !LOST_REPLY.test(reason));
      expect(notAccepted).toEqual([]);
    };
    await expectKillHeld(({ id, host }) => docker(lab.host(host), "kill", id));
    await expectChangeHeld(() => berth("service", "update", "--env-add", "A=1", "single_web"));
    await expectChangeHeld(({ host }) => berth("node", "update", "--availability", "drain", host));
    await berth("node", "update", "--availability", "active", "h2");
    await berth("node", "update", "--availability", "active", "h3");
    await expectKillHeld(({ host }) => lab.host(host).kill());
    await Promise.all(lab.hosts.filter(({ isUp }) => !isUp).map((host) => host.start()));
    await untilReady(3);
    expect((await lab.berth(["stack", "rm", "single"])).code).toBe(0);
  });

  /** Waits until both services run on one host, in other containers than the former ones. */
  async function untilBeside(former: readonly string[] = []): Promise<readonly [Container, Container]> {
    let pair: readonly [Container, Container] | undefined;
    await waitUntil(
      async () => {
        const [app, ...otherApps] = await listRunning(lab, "beside_app");
        const [companion, ...others] = await listRunning(lab, "beside_companion");
        if (app === undefined || companion === undefined || otherApps.length + others.length > 0)
          return false;
        pair = [app, companion];
        return !former.includes(app.id) && !former.includes(companion.id);
      },
      { what: "one new container of each service", timeoutMs: CONVERGE_TIMEOUT_MS },
    );
    if (pair === undefined) throw new Error("no container of the services runs");
    return pair;
  }

  test("a companion shares the network, processes and volume of its owner, and moves with it", async () => {
    const { code, stderr } = await deploy(lab, "beside", BESIDE);
    expect(code, stderr).toBe(0);
    const expectShared = async ([app, companion]: readonly [Container, Container]): Promise<void> => {
      expect(companion.host).toBe(app.host);
      const host = lab.host(app.host);
      const inside = (container: Container, ...command: string[]): Promise<string> =>
        docker(host, "exec", container.id, BUSYBOX, ...command);
      await waitUntil(async () => (await inside(app, "ls", "/data")).includes("answer"), {
        what: "the answer to be in the volume",
        timeoutMs: CONVERGE_TIMEOUT_MS,
      });
      expect(await inside(companion, "cat", "/proc/1/cmdline")).toBe(
        await inside(app, "cat", "/proc/1/cmdline"),
      );
      expect(await inside(companion, "cat", "/data/answer")).not.toBe("");
    };
    const [app, companion] = await untilBeside();
    await expectShared([app, companion]);

    // The owner keeps its container, and the companion loses its namespaces.
    await docker(lab.host(app.host), "restart", "--time", "1", app.id);
    const [restarted, follower] = await untilBeside([companion.id]);
    await expectShared([restarted, follower]);

    await lab.host(restarted.host).kill();
    const moved = await untilBeside([restarted.id, follower.id]);
    expect(moved[0].host).not.toBe(restarted.host);
    await expectShared(moved);
    await lab.host(restarted.host).start();
    await untilReady(3);

    const refused = await lab.berth(["service", "rm", "beside_app"]);
    expect(refused.stderr).toContain("beside_companion runs beside beside_app");
    expect((await lab.berth(["stack", "rm", "beside"])).code).toBe(0);
  });

  test("a restarted agent adopts its containers", async () => {
    const before = await Promise.all(
      (await listRunning(lab, "shop_web")).map((container) => readStartedAt(lab, container)),
    );
    await lab.host("h1").killProcess("agent");
    await lab.host("h1").startAgent();
    await untilReady(3);
    await waitForReplicas(lab, "shop_web", REPLICAS + 3);
    const after = await Promise.all(
      (await listRunning(lab, "shop_web")).map((container) => readStartedAt(lab, container)),
    );
    expect(after.sort()).toEqual(before.sort());
  });
});
