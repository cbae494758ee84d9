// Upgrades a cluster from the previous release and downgrades it again, and mixes programs of both releases.
import { statSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../deploy/lab/lab.js";
import type { LabServer } from "../../deploy/lab/lab-server.js";
import { run } from "../../deploy/lab/run.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { DEFAULT_USER } from "../../packages/agent/src/agent/ingress-user.js";
import { startLoad } from "../bench/load-generator.js";
import { isInstalledForAll } from "../harness/ingress-user.js";
import { currentRelease, previousRelease, type Release } from "../upgrade/build-release.js";
import {
  serverOn,
  type UpgradeStep,
  upgradeAgent,
  upgradeAll,
  upgradeServer,
} from "../upgrade/rolling-upgrade.js";
import { CONVERGE_TIMEOUT_MS, createCluster, deploy, waitForReplicas } from "./support/cluster.js";
import { listRunning } from "./support/containers.js";

const REPLICAS = 6;
const PORT = 8_080;
const SHOP = `
services:
  web:
    image: hello:1
    ports: ["${PORT}:80"]
    stop_grace_period: 1s
    deploy: { replicas: ${REPLICAS} }
`;
/** One task on each host, so that the agents of both releases take part, and a service to scale. */
const MIX = `
services:
  all:
    image: hello:1
    command: ["/usr/bin/busybox", "sh", "-c", "echo ready; trap 'exit 0' TERM; while :; do /usr/bin/busybox sleep 0.1; done"]
    stop_grace_period: 1s
    deploy: { mode: global }
  api:
    image: hello:1
    stop_grace_period: 1s
    deploy: { replicas: 1 }
`;
const SLOW_MS = 600_000;
const PER_SECOND = 500;
/** On a busy machine, an ingress process that could not hand over is asked again after a minute. */
const HANDOVER_TIMEOUT_MS = 150_000;
/** Longer than any reply may take. */
const REPLY_TIMEOUT_MS = 5_000;

const HOSTS = ["h1", "h2", "h3"] as const;
const step = (name: string): UpgradeStep => {
  const [program, host = ""] = name.split(" ");
  return { program: program === "server" ? "server" : "agent", host };
};
/** Servers and agents in an order that is not the recommended one. */
const FORWARD = ["agent h2", "server h1", "agent h1", "server h3", "agent h3", "server h2"].map(step);
const BACK = ["server h3", "agent h1", "server h2", "agent h3", "agent h2", "server h1"].map(step);

let previous: Release;
let current: Release;
let lab: Lab;
let directory: string;

beforeAll(async () => {
  previous = previousRelease();
  current = currentRelease();
  directory = await mkdtemp(join(tmpdir(), "berth-upgrade-"));
  await writeFile(join(directory, "mix.yml"), MIX);
  lab = await createCluster(HOSTS.length, { servers: HOSTS.length, berthPath: previous.program });
  expect((await deploy(lab, "shop", SHOP)).code).toBe(0);
}, SLOW_MS);
afterAll(async () => {
  await lab?.down();
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
});

/** Runs the command line of a release against one server. Returns its standard output. */
async function berth(release: Release, server: LabServer, ...args: string[]): Promise<string> {
  const argv = [process.execPath, release.program, "--server", server.address, ...args];
  const env = { ...lab.cliEnv(), NO_COLOR: "1" };
  const { code, stdout, stderr } = await run(argv, { env, timeoutMs: 120_000 });
  expect(code, `berth ${args.join(" ")} of ${release.release} at ${server.name}: ${stderr}`).toBe(0);
  return stdout;
}

/** Returns the IDs of the users that the ingress processes run as. */
function ingressUsers(): readonly number[] {
  return lab.hosts.flatMap((host) =>
    host.processes("ingress").map(({ pid }) => statSync(`/proc/${pid}`).uid),
  );
}

/** Deploys, scales, reads logs, and runs commands on all hosts. */
async function exercise(cli: Release, server: LabServer): Promise<void> {
  const call = (...args: string[]): Promise<string> => berth(cli, server, ...args);
  await call("stack", "deploy", "-c", join(directory, "mix.yml"), "mix");
  await call("service", "scale", "mix_api=2");
  await waitForReplicas(lab, "mix_api", 2);
  const tasks = (await call("service", "ps", "-q", "--no-trunc", "mix_all")).trim().split("\n");
  expect(tasks).toHaveLength(HOSTS.length);
  expect((await call("service", "logs", "--raw", "mix_all")).split("ready")).toHaveLength(HOSTS.length + 1);
  for (const task of tasks) {
    expect(await call("exec", task, "/usr/bin/busybox", "echo", `run in ${task}`)).toBe(`run in ${task}\n`);
  }
  await call("stack", "rm", "mix");
}

/**
 * Kills the leader, unless it has this release, while no server of the other release can be elected. Returns the next
 * leader, which takes over from a server of the other release.
 */
async function electServerOf({ program }: Release): Promise<LabServer> {
  const leader = await waitUntil(() => lab.leader(), { what: "a leader", timeoutMs: CONVERGE_TIMEOUT_MS });
  if (leader.berthPath === program) return leader;
  const others = lab.servers.filter((server) => server !== leader && server.berthPath !== program);
  // Their etcds keep running, and are a quorum with that of the next leader.
  for (const server of others) await server.kill("server", "SIGSTOP");
  await leader.kill("server");
  await leader.kill("etcd").catch(() => {}); // It ends with its server.
  const elected = await waitUntil(
    async () => {
      const next = await lab.leader();
      return next?.berthPath === program ? next : undefined;
    },
    { what: "a leader of the release", timeoutMs: CONVERGE_TIMEOUT_MS },
  );
  for (const server of others) await server.kill("server", "SIGCONT");
  await leader.startWithoutWaiting();
  await leader.waitUntilHealthy();
  return elected;
}

function serverOf(release: Release): LabServer {
  const found = lab.servers.find(({ berthPath }) => berthPath === release.program);
  if (found === undefined) throw new Error(`no server has release ${release.release}`);
  return found;
}

/** Runs a change under load. Returns the failed requests, and checks that no container was replaced. */
async function underLoad(change: () => Promise<void>): Promise<readonly unknown[]> {
  const before = (await listRunning(lab, "shop_web")).map(({ id }) => id).sort();
  const addresses = lab.hosts.map(({ address }) => address);
  const load = startLoad({ addresses, port: PORT, perSecond: PER_SECOND, timeoutMs: REPLY_TIMEOUT_MS });
  try {
    await change();
  } finally {
    await load.stop();
  }
  const { results } = await load.stop();
  expect(results.length).toBeGreaterThan(PER_SECOND);
  expect((await listRunning(lab, "shop_web")).map(({ id }) => id).sort()).toEqual(before);
  return results.filter(({ failure }) => failure !== "");
}

test(
  "commands, agents and servers of both releases work together, whichever release leads",
  async () => {
    await upgradeServer(serverOn(lab, "h1"), current);
    await upgradeAgent(lab, lab.host("h2"), current);
    for (const leading of [previous, current]) {
      await electServerOf(leading);
      // The calls of each command line go through a server of the other release, and reach agents of both.
      await exercise(previous, serverOf(current));
      await exercise(current, serverOf(previous));
    }
    await upgradeServer(serverOn(lab, "h1"), previous);
    await upgradeAgent(lab, lab.host("h2"), previous);
    await waitForReplicas(lab, "shop_web", REPLICAS);
  },
  SLOW_MS,
);

test(
  "a rolling upgrade from the previous release loses no request and keeps all containers",
  async () => {
    expect(await underLoad(() => upgradeAll(lab, FORWARD, current))).toEqual([]);
    expect(await berth(current, serverOf(current), "version")).toContain(`Server: ${current.release} `);
    // The processes of the previous release ran as root, and have handed over.
    if (isInstalledForAll(current.program)) {
      const users = HOSTS.map(() => DEFAULT_USER.uid);
      await expect.poll(ingressUsers, { timeout: HANDOVER_TIMEOUT_MS }).toEqual(users);
    }
    await exercise(current, serverOf(current));
  },
  SLOW_MS,
);

test(
  "a rolling downgrade to the previous release loses no request and keeps all containers",
  async () => {
    expect(await underLoad(() => upgradeAll(lab, BACK, previous))).toEqual([]);
    expect(await berth(previous, serverOf(previous), "version")).toContain(`Server: ${previous.release} `);
    await exercise(previous, serverOf(previous));
  },
  SLOW_MS,
);
