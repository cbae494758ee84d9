import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Lab } from "../../deploy/lab/lab.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { CONVERGE_TIMEOUT_MS, createCluster, deploy, waitForReplicas } from "./support/cluster.js";
import { type Container, listContainers, listRunning, readLifetime } from "./support/containers.js";
import { docker, listTasks } from "./support/tasks.js";

/** Shortest delay before the second restart: 1 s minus 25 percent jitter. It doubles with each further restart. */
const SECOND_DELAY_MS = 750;
/** Four restarts take 7 s of delays and five container starts. The rest is for a busy machine. */
const FOUR_RESTARTS_TIMEOUT_MS = 90_000;
/** Long enough to observe several unwanted restarts. */
const QUIET_MS = 3_000;

function service(command: string, more = ""): string {
  return `
services:
  job:
    image: hello:1
    command: ["/usr/bin/busybox", "sh", "-c", ${JSON.stringify(command)}]
    stop_grace_period: 1s
    ${more}
`;
}

/** Docker kills a container before it removes it; the agent may observe either. */
const BY_HAND = /(stopped|removed) outside berth/;

const ONCE = "deploy: { restart_policy: { condition: none } }";

describe("containers that end", () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await createCluster(2);
  });
  afterAll(() => lab?.down());

  async function containersOf(name: string): Promise<readonly Container[]> {
    return (await listContainers(lab)).filter((container) => container.service === name);
  }

  /** Returns the delays before restarts by the number of consecutive restarts, on Docker's clock. */
  async function pausesOf(name: string): Promise<ReadonlyMap<number, number>> {
    const runs = new Map<number, { readonly beginMs: number; readonly endMs: number }>();
    for (const { containerId, restarts, node: host } of await listTasks(lab, name)) {
      const lifetime = containerId && (await readLifetime(lab, { host, id: containerId }));
      if (lifetime) runs.set(restarts, lifetime);
    }
    const pauses = [...runs].map(([restarts, { beginMs }]): [number, number] => {
      return [restarts, beginMs - (runs.get(restarts - 1)?.endMs ?? Number.NaN)];
    });
    return new Map(pauses.filter(([, pauseMs]) => !Number.isNaN(pauseMs)));
  }

  test("restarts of a crash loop back off exponentially and show the exit code in service ps", async () => {
    expect((await deploy(lab, "loop", service("exit 7"), "--detach")).code).toBe(0);
    const isSlow = async (): Promise<boolean> => (await pausesOf("loop_job")).has(4);
    await waitUntil(isSlow, { what: "four restarts", timeoutMs: FOUR_RESTARTS_TIMEOUT_MS });
    for (const [restarts, pauseMs] of await pausesOf("loop_job")) {
      if (restarts > 1) expect(pauseMs).toBeGreaterThan(SECOND_DELAY_MS * 2 ** (restarts - 2));
    }
    expect((await listTasks(lab, "loop_job")).filter(({ state }) => state === "failed")).toContainEqual(
      expect.objectContaining({ exitCode: 7, message: "ended with exit code 7" }),
    );
    expect((await lab.berth(["stack", "rm", "loop"])).code).toBe(0);
  });

  test("a one-shot that completes makes the deploy succeed and runs once", async () => {
    const { code, stderr } = await deploy(lab, "once", service("exit 0", ONCE));
    expect(code, stderr).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    expect((await containersOf("once_job")).map(({ running }) => running)).toEqual([false]);
    expect(await listTasks(lab, "once_job")).toMatchObject([{ state: "complete", exitCode: 0 }]);
  });

  test("a one-shot that fails makes the deploy fail, with its exit code", async () => {
    const { code, stderr, stdout } = await deploy(lab, "fails", service("exit 3", ONCE));
    expect(code).toBe(1);
    expect(stdout + stderr).toMatch(/exit code 3/);
    expect(await containersOf("fails_job")).toHaveLength(1);
  });

  test.each([
    ["removed", ["rm", "-f"]],
    ["stopped", ["stop", "-t", "1"]],
    ["killed", ["kill"]],
  ])("a container that is %s by hand is replaced, and service ps shows the reason", async (how, args) => {
    const stack = `by-hand-${how}`;
    const stays = service("exec /usr/bin/hello", "deploy: { replicas: 2 }");
    expect((await deploy(lab, stack, stays)).code).toBe(0);
    const [victim] = await listRunning(lab, `${stack}_job`);
    if (victim === undefined) throw new Error("nothing runs");
    await docker(lab.host(victim.host), ...args, victim.id);
    const isReported = async (): Promise<boolean> =>
      (await listTasks(lab, `${stack}_job`)).some(({ message }) => BY_HAND.test(message));
    const wait = { what: "a task with the reason", timeoutMs: CONVERGE_TIMEOUT_MS };
    await waitUntil(isReported, wait).catch(async (cause: unknown) => {
      throw new Error(JSON.stringify(await listTasks(lab, `${stack}_job`)), { cause });
    });
    await waitForReplicas(lab, `${stack}_job`, 2);
    const ids = (await listRunning(lab, `${stack}_job`)).map(({ id }) => id);
    expect(ids).not.toContain(victim.id);
  });
});
