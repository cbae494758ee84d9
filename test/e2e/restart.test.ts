import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Lab } from "../../deploy/lab/lab.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { CONVERGE_TIMEOUT_MS, createCluster, deploy, waitForReplicas } from "./support/cluster.js";
import { type Container, listContainers, listRunning, readLifetime } from "./support/containers.js";
import { docker, listTasks } from "./support/tasks.js";

/** The smallest delay before the second restart: 1 s, less a quarter of jitter. It doubles with each more. */
const SECOND_DELAY_MS = 750;
/** Seven seconds of pauses, and five containers one after the other on a machine that does other things, too. */
const FOUR_RESTARTS_TIMEOUT_MS = 90_000;
/** Long enough for several restarts, if there were any. */
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

/** A container that is removed is killed first: which of both is seen depends on how fast it goes. */
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

  /** Pauses before restarts, by the number of the restart in a row, on Docker's clock. */
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

  test("a crash loop is restarted ever more slowly, and the exit code is shown", async () => {
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

  test("a one-shot that completes is a deploy that went well, and runs once", async () => {
    const { code, stderr } = await deploy(lab, "once", service("exit 0", ONCE));
    expect(code, stderr).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    expect((await containersOf("once_job")).map(({ running }) => running)).toEqual([false]);
    expect(await listTasks(lab, "once_job")).toMatchObject([{ state: "complete", exitCode: 0 }]);
  });

  test("a one-shot that fails is a deploy that failed, with its exit code as the reason", async () => {
    const { code, stderr, stdout } = await deploy(lab, "fails", service("exit 3", ONCE));
    expect(code).toBe(1);
    expect(stdout + stderr).toMatch(/exit code 3/);
    expect(await containersOf("fails_job")).toHaveLength(1);
  });

  test.each([
    ["removed", ["rm", "-f"]],
    ["stopped", ["stop", "-t", "1"]],
    ["killed", ["kill"]],
  ])("a container that is %s by hand is replaced, and the reason is shown", async (how, words) => {
    const stack = `by-hand-${how}`;
    const stays = service("exec /usr/bin/hello", "deploy: { replicas: 2 }");
    expect((await deploy(lab, stack, stays)).code).toBe(0);
    const [victim] = await listRunning(lab, `${stack}_job`);
    if (victim === undefined) throw new Error("nothing runs");
    await docker(lab.host(victim.host), ...words, victim.id);
    const isTold = async (): Promise<boolean> =>
      (await listTasks(lab, `${stack}_job`)).some(({ message }) => BY_HAND.test(message));
    const told = { what: "a task that says so", timeoutMs: CONVERGE_TIMEOUT_MS };
    await waitUntil(isTold, told).catch(async (cause: unknown) => {
      throw new Error(JSON.stringify(await listTasks(lab, `${stack}_job`)), { cause });
    });
    await waitForReplicas(lab, `${stack}_job`, 2);
    const ids = (await listRunning(lab, `${stack}_job`)).map(({ id }) => id);
    expect(ids).not.toContain(victim.id);
  });
});
