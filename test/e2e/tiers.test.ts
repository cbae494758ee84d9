import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { failuresSince, HttpTraffic } from "../../deploy/lab/http-traffic.js";
import type { Lab } from "../../deploy/lab/lab.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { CORPUS_DIRECTORY, isCorpusOptional } from "../conformance/corpus-directory.js";
import { deployStacks } from "../conformance/stacks/deploy-stacks.js";
import { smallestStack } from "../conformance/stacks/select-stacks.js";
import {
  CONVERGE_TIMEOUT_MS,
  createCluster,
  readyNodes,
  waitForNetworks,
  waitForReplicas,
} from "./support/cluster.js";
import { listRunning } from "./support/containers.js";
import { fetchBodies } from "./support/http.js";

const IMAGES = fileURLToPath(new URL("../../deploy/images/", import.meta.url));
const STACK = fileURLToPath(new URL("../../deploy/stacks/tiers/", import.meta.url));
const WEB_PORT = 8000;
/** web repeats a call to a dead replica of api after 1.5 s, up to three times. */
const REPLY_TIMEOUT_MS = 8_000;
/** Reply of `web` when all three tiers reach each other. */
const ALL_TIERS = /^web\.(\S+) on (h\d) → api\.(\d+) on (h\d): hit (\d+)/;

describe("three tiers that reach each other by name", () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await createCluster(3);
    await lab.loadImage(`${IMAGES}shop`, "shop:1");
    await lab.loadImage(`${IMAGES}redis`, "shop-redis:1");
    await waitForNetworks(lab);
  });
  afterAll(() => lab?.down());

  async function deployTiers(...overlays: string[]): Promise<void> {
    const files = ["compose.yml", ...overlays].flatMap((file) => ["-c", `${STACK}${file}`]);
    const { code, stderr } = await lab.berth(["stack", "deploy", ...files, "tiers"], { timeoutMs: 120_000 });
    expect(code, stderr).toBe(0);
  }

  const url = (host: string): string => `http://${lab.host(host).address}:${WEB_PORT}/`;

  // This machine's Docker may lack Compose; the Docker of BERTH_LAB_DOCKER includes it.
  test.runIf(process.env.BERTH_LAB_DOCKER)("Docker Compose takes the file as it is", async () => {
    const compose = (...args: string[]) =>
      lab.host("h1").exec(["docker", "compose", "-f", `${STACK}compose.yml`, ...args]);
    const { code, stderr } = await compose("up", "--detach", "--wait");
    expect(code, stderr).toBe(0);
    const answers = await fetchBodies(url("h1"), 4);
    expect(answers).toEqual(answers.map(() => expect.stringMatching(/^web \w+ → api \w+: hit \d+/)));
    expect((await compose("down", "--volumes")).code).toBe(0);
  });

  test("web reaches api and api reaches redis when each runs on another host, through any host", async () => {
    await deployTiers("apart.yml");
    for (const host of ["h1", "h2", "h3"]) {
      await waitForAllTiers(host);
      const answers = await fetchBodies(url(host), 4);
      for (const answer of answers) {
        const [, , webHost, , apiHost] = ALL_TIERS.exec(answer) ?? [];
        expect([answer, webHost, apiHost]).toEqual([answer, "h1", "h2"]);
      }
      // The host balances over both tasks as soon as it has received the endpoint of the second one.
      const apiTasks = async (): Promise<ReadonlySet<string | undefined>> =>
        new Set((await fetchBodies(url(host), 4)).map((answer) => ALL_TIERS.exec(answer)?.[3]));
      await waitUntil(async () => (await apiTasks()).size === 2, {
        what: `both tasks of api to serve ${host}`,
        timeoutMs: CONVERGE_TIMEOUT_MS,
      });
    }
    expect((await listRunning(lab, "tiers_redis")).map(({ host }) => host)).toEqual(["h3"]);
  });

  test("a container cannot resolve names of networks that it is not in", async () => {
    const lookup = async (name: string) =>
      lab.berth(["exec", "tiers_web", "/usr/bin/node", "-e", lookupOf(name)], { timeoutMs: 60_000 });
    expect((await lookup("api")).code).toBe(0);
    expect((await lookup("redis")).code).toBe(1);
  });

  test.skipIf(isCorpusOptional)(
    "the smallest stack of the corpus with a program of its images runs beside it",
    async () => {
      const stack = smallestStack(CORPUS_DIRECTORY);
      const [deployed] = await deployStacks(lab, stack === undefined ? [] : [stack]);
      expect(deployed).toMatchObject({ problems: [], services: stack?.services.length });
      expect(deployed?.programs).not.toEqual([]);
    },
  );

  test("api has moved and redis has kept its data after each host was killed in turn under traffic", async () => {
    // Redeploy: tasks keep their hosts when their constraints are removed, so both api tasks would stay on one host.
    expect((await lab.berth(["stack", "rm", "tiers"])).code).toBe(0);
    await deployTiers();
    const webIsEverywhere = async () => (await listRunning(lab, "tiers_web")).length === 3;
    await waitUntil(webIsEverywhere, { what: "web on each host", timeoutMs: CONVERGE_TIMEOUT_MS });
    for (const victim of ["h3", "h2", "h1"]) {
      const asked = victim === "h1" ? "h2" : "h1";
      await waitForAllTiers(asked);
      const hitsBefore = await hits(asked);
      const traffic = new HttpTraffic({
        url: url(asked),
        perSecond: 30,
        timeoutMs: REPLY_TIMEOUT_MS,
        replicaOf: (body) => body.trim(),
      });
      traffic.start();
      let diedMs = Number.POSITIVE_INFINITY;
      try {
        await lab.host(victim).kill();
        diedMs = performance.now();
        await waitForReplicas(lab, "tiers_api", 2);
      } finally {
        await traffic.stop();
      }
      // Requests in flight on the killed host are lost with it. A busy machine has more of them.
      expect({ victim, failed: failuresSince(traffic.outcomes, diedMs) }).toEqual({ victim, failed: [] });
      await lab.host(victim).start();
      await untilReady();
      await waitForAllTiers(asked);
      expect(await hits(asked)).toBeGreaterThan(hitsBefore);
    }
  });

  async function untilReady(): Promise<void> {
    await waitUntil(async () => (await readyNodes(lab)).length === 3, {
      what: "3 ready nodes",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
  }

  async function waitForAllTiers(asked: string): Promise<void> {
    await waitUntil(async () => (await fetchBodies(url(asked), 6)).every((text) => ALL_TIERS.test(text)), {
      what: "web, api and redis to reach each other",
      timeoutMs: CONVERGE_TIMEOUT_MS,
      // A host that was killed refuses connections until its ingress listens again.
      retryErrors: true,
    });
  }

  async function hits(asked: string): Promise<number> {
    const [answer = ""] = await fetchBodies(url(asked), 1);
    return Number(ALL_TIERS.exec(answer)?.[5]);
  }
});

/** Returns a Node script that exits with 0 when the name resolves. */
function lookupOf(name: string): string {
  return `require("dns").lookup(${JSON.stringify(name)}, (error) => process.exit(error ? 1 : 0))`;
}
