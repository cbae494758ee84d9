import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { run } from "../../packages/cli/src/main.js";
import { fakeCli } from "../../packages/cli/src/testing/fake-cli.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { useTestCluster } from "./cluster-fixture.js";

const context = useTestCluster();
let socket = "";
let directory = "";
let printed = "";

const FIRST = "hunter2-first";
const SECOND = "hunter2-second";
const COMPOSE = `
services:
  web:
    image: "web:1"
    secrets: [password, { source: token, target: api/token, mode: 0400 }]
    configs: [{ source: site, target: /etc/site.conf }]
    deploy: { replicas: 2, update_config: { parallelism: 2, monitor: 100ms } }
secrets:
  password: { file: ./password.txt }
  token: { external: true }
configs:
  site: { content: "slot {{.Task.Slot}}", template_driver: golang }
`;

beforeEach(async () => {
  ({ socket } = await context.cluster.startServer());
  await context.cluster.startAgents(["n1", "n2"]);
  directory = temporaryDirectory();
  printed = "";
  await writeFile(join(directory, "c.yaml"), COMPOSE);
  await writeFile(join(directory, "password.txt"), FIRST);
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

/** Runs a command line, which is split at spaces. */
async function berth(line: string, stdin = ""): Promise<{ code: number; out: string; err: string }> {
  const cli = fakeCli({ env: { BERTH_SERVER: `unix:${socket}` }, cwd: directory, stdin });
  const code = await run(line.split(" "), cli);
  printed += cli.out() + cli.err();
  return { code, out: cli.out(), err: cli.err() };
}

it("stack deploy stores the secrets and configs of a stack, rolls changed ones, and stack rm removes them", async () => {
  const missing = await berth("stack deploy -c c.yaml shop");
  expect(missing.code).toBe(2);
  expect(missing.err).toContain("secret token");
  expect(await berth("secret create token -", "t")).toMatchObject({ code: 0, out: "token\n", err: "" });

  const first = await berth("stack deploy -c c.yaml shop");
  expect(first).toMatchObject({ code: 0, err: "" });
  expect(first.out).toContain("Creating secret shop_password\nCreating config shop_site\n");
  expect((await berth("stack deploy -c c.yaml --dry-run shop")).out).toContain("No changes.");
  expect((await berth("secret ls -q")).out).toBe("shop_password\ntoken\n");

  await writeFile(join(directory, "password.txt"), SECOND);
  const plan = await berth("stack deploy -c c.yaml --dry-run shop");
  expect(plan.out).toContain("~ secret shop_password  version 2\n");
  expect(plan.out).toContain("    secret shop_password: version 1 → version 2\n");
  const second = await berth("stack deploy -c c.yaml shop");
  expect(second).toMatchObject({ code: 0, err: "" });
  expect(second.out).toContain("Updating secret shop_password (version 2)\n");
  const [secret] = JSON.parse((await berth("secret inspect shop_password")).out);
  expect(secret).toMatchObject({ stack: "shop", version: 2, services: [{ name: "shop_web", version: 2 }] });

  const inUse = await berth("secret rm shop_password");
  expect(inUse.code).toBe(1);
  expect(inUse.err).toContain("(BERTH_FILE_IN_USE)");
  const removed = await berth("stack rm shop");
  expect(removed.out).toContain("Removing secret shop_password\n");
  expect(removed.out).toContain("Removing config shop_site\n");
  expect((await berth("secret rm token")).out).toBe("token\n");
  expect(printed).not.toContain("hunter2");
});

it("secret update rolls the services that use a secret, and service rollback restores its version", async () => {
  await berth("secret create -l team=a token -", FIRST);
  await berth("stack deploy -c c.yaml shop");
  const update = await berth("secret update token -", SECOND);
  expect(update).toMatchObject({ code: 0, err: "" });
  expect(update.out).toContain("Secret token updated, version 2\nUpdating service shop_web\n");
  expect((await berth("secret update token -", SECOND)).out).toBe("Secret token unchanged, version 2\n");
  const [secret] = JSON.parse((await berth("secret inspect token")).out);
  expect(secret).toMatchObject({ version: 2, labels: { team: "a" }, services: [{ version: 2 }] });

  expect((await berth("service rollback shop_web")).code).toBe(0);
  const [restored] = JSON.parse((await berth("secret inspect token")).out);
  expect(restored).toMatchObject({ version: 2, services: [{ name: "shop_web", version: 1 }] });

  const [config] = JSON.parse((await berth("config inspect shop_site")).out);
  expect(Buffer.from(config.data, "base64").toString()).toBe("slot {{.Task.Slot}}");
  const edited = await berth("service update --secret-rm token --config-add shop_site shop_web");
  expect(edited).toMatchObject({ code: 0, err: "" });
  expect((await berth("service inspect --pretty shop_web")).out).toContain("shop_site -> /shop_site\n");
  expect((await berth("secret rm token")).code).toBe(0);
  expect(printed).not.toContain("hunter2");
});
