import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { run } from "../../packages/cli/src/main.js";
import { fakeCli } from "../../packages/cli/src/testing/fake-cli.js";
import { eventually } from "../harness/eventually.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { useTestCluster } from "./cluster-fixture.js";

const context = useTestCluster();
let socket = "";
let directory = "";

beforeEach(async () => {
  ({ socket } = await context.cluster.startServer());
  await context.cluster.startAgents(["n1", "n2", "n3"]);
  directory = temporaryDirectory();
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

/** Runs a command line, which is split at spaces. */
async function berth(line: string): Promise<{ code: number; out: string; err: string }> {
  const cli = fakeCli({ env: { BERTH_SERVER: `unix:${socket}` }, cwd: directory });
  const code = await run(line.split(" "), cli);
  return { code, out: cli.out(), err: cli.err() };
}

async function writeComposeFile(image: string): Promise<void> {
  const file = `
services:
  db: { image: "db:1" }
  web:
    image: "${image}"
    depends_on: { db: { condition: service_started } }
    deploy:
      replicas: 4
      update_config: { parallelism: 2, monitor: 500ms }
`;
  await writeFile(join(directory, "c.yaml"), file);
}

function planRevOf(plan: string): string {
  return /--plan-rev (\S+)/.exec(plan)?.[1] ?? "";
}

it("stack deploy --plan-rev applies the plan of a dry run and fails when the plan has changed", async () => {
  await writeComposeFile("web:1");
  const first = await berth("stack deploy -c c.yaml --dry-run shop");
  expect(first.out).toContain("+ shop_web  new");
  expect(first.out).toContain("2 services to create; 5 tasks to create.");
  expect((await berth("service ls -q")).out).toBe("");

  const deployed = await berth(`stack deploy -c c.yaml --plan-rev ${planRevOf(first.out)} shop`);
  expect(deployed).toMatchObject({ code: 0, err: "" });
  expect(deployed.out).toContain("Deployed shop: 2 services, 5 tasks running");

  await writeComposeFile("web:2");
  const second = await berth("stack deploy -c c.yaml --dry-run shop");
  expect(second.out).toContain("task.container.image: web:1 → web:2");
  expect(second.out).toContain("1 service to update; 4 tasks to replace.");
  await berth("service scale shop_web=3");
  const late = await berth(`stack deploy -c c.yaml --plan-rev ${planRevOf(second.out)} shop`);
  expect(late.code).toBe(1);
  expect(late.err).toContain("the plan has changed for shop_web");
});

it("service update exits with an error after a rollback or a pause, which service rollback resolves", async () => {
  await writeComposeFile("web:1");
  await berth("stack deploy -c c.yaml shop");
  const good = await berth("service update --image web:2 shop_web");
  expect(good).toMatchObject({ code: 0, err: "" });
  expect(good.out).toContain("shop_web: 4/4 running");

  const rolledBack = await berth("service update --image crashing:1 shop_web");
  expect(rolledBack.code).toBe(1);
  expect(rolledBack.err).toContain("rolled back to version 2");
  expect(rolledBack.err).toContain("failed: exit code 1");
  expect(rolledBack.err).toContain("(BERTH_ROLLED_BACK)");

  const paused = await berth("service update --image crashing:1 --update-failure-action pause shop_web");
  expect(paused.code).toBe(1);
  expect(paused.err).toContain("(BERTH_ROLLOUT_PAUSED)");
  // A new task that crashes just after its start may have replaced an old one, which then has to be restored.
  await eventually("all replicas run again", async () =>
    (await berth("service ls")).out.includes("4/4 (update paused)"),
  );

  const restored = await berth("service rollback shop_web");
  expect(restored.code).toBe(0);
  expect((await berth("service inspect --pretty shop_web")).out).toContain("Image:       web:2");
});

it("node drain waits until the node is empty or reports at its timeout which tasks cannot move", async () => {
  await writeComposeFile("web:1");
  await berth("stack deploy -c c.yaml shop");
  const drained = await berth("node drain n1");
  expect(drained).toMatchObject({ code: 0, err: "" });
  expect(drained.out).toMatch(/Drained n1: \d tasks? moved/);
  expect(context.cluster.agents[0]?.runningTaskIds).toEqual([]);

  await berth("node activate n1");
  await berth("service update --constraint-add node.id!=n1 --constraint-add node.id!=n2 shop_web");
  await berth("service update --force shop_web");
  const stuck = await berth("node drain n3 --timeout 2s");
  expect(stuck.code).toBe(1);
  expect(stuck.err).toContain("shop_web: 0 of 4 moved");
  expect(stuck.err).toContain("no suitable node: 1 node is drained, 1 node does not meet node.id!=n1");
});
