import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { LoginCodes } from "@berth/proto/login-codes";
import { listenWeb, StaticFiles, WebGateway, webUiDirectory } from "@berth/proto/web";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { DemoProxy } from "../../deploy/demo/demo-proxy.js";
import type { RequestOutcome } from "../../deploy/lab/http-traffic.js";
import { eventually } from "../harness/eventually.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { converged, deployment, service, type TestServer } from "../harness/test-cluster.js";
import { useTestCluster } from "../integration/cluster-fixture.js";
import { launchBrowser, type OpenedPage, openPage, showView, untilTrue } from "./browser.js";
import { dropFiles } from "./mouse.js";

/** A browser on a busy machine notices within this time that a stream has ended. */
const CUT_OFF_TIMEOUT_MS = 30_000;

const context = useTestCluster();
let browser: Browser;

beforeAll(async () => {
  browser = await launchBrowser();
});
afterAll(() => browser.close());

/** Serves the web UI with the calls of a server, as `berth ui` does, and opens it. */
async function openPageOf(server: TestServer): Promise<OpenedPage> {
  const codes = new LoginCodes();
  const gateway = new WebGateway({
    backend: { redeem: async (code) => codes.redeem(code, Date.now()), callsOf: () => server.calls },
    files: await StaticFiles.read(webUiDirectory()),
    checks: { scheme: "http", hostNames: new Set() },
    cookieName: "berth-session-test",
    nowMs: Date.now,
  });
  const listener = await listenWeb(gateway, { listen: "127.0.0.1:0", option: "--port" });
  const { code } = codes.create({ userName: "ui", isReadOnly: false }, Date.now());
  const opened = await openPage(browser, {
    url: `http://${listener.address}/#login=${encodeURIComponent(code)}`,
  });
  onTestFinished(async () => {
    await opened.page.context().close();
    gateway.close();
    listener.close();
  });
  await expect.poll(() => connection(opened.page)).toContain("Live");
  return opened;
}

const connection = (page: Page): Promise<string | null> => page.locator(".connection").textContent();
const running = (page: Page): Promise<number> => page.locator(".map .cell[data-state=running]").count();

test("the web UI follows the cluster while its leader dies, and shows each event once", async () => {
  const leader = await context.cluster.startProcess();
  const follower = await context.cluster.startServer();
  await eventually("a leader is elected", () => follower.calls.getCluster({}));
  await context.cluster.startAgents(["a", "b"]);
  const { page, problems } = await openPageOf(follower);
  await follower.calls.deployStack(deployment([service("web", { replicas: 3 })]));
  await expect.poll(() => running(page)).toBe(3);

  // The page looks at each of its frames: a new leader may be elected before a test that polls has looked.
  const cutOff = untilTrue(
    page,
    `document.querySelector(".connection").dataset.kind === "cut-off" &&
      document.querySelectorAll(".map .cell[data-state=running]").length === 0`,
    CUT_OFF_TIMEOUT_MS,
  );
  await leader.kill();
  await cutOff;
  await expect.poll(() => connection(page)).toContain("Live");
  await expect.poll(() => running(page)).toBe(3);

  await showView(page, "#/timeline");
  const started = page.getByRole("row").filter({ hasText: "task started" });
  await expect.poll(() => started.count()).toBe(3);
  expect(problems).toEqual({ messages: [], foreignRequests: [] });
});

test("the web UI plans, deploys, scales and drains", async () => {
  const server = await context.cluster.startServer();
  await context.cluster.startAgents(["a", "b"]);
  const { page, problems } = await openPageOf(server);
  await showView(page, "#/stacks");
  const path = join(temporaryDirectory(), "shop.yml");
  writeFileSync(path, "services:\n  web:\n    image: nginx\n    deploy:\n      replicas: 2\n");
  await dropFiles(page, page.getByRole("region", { name: "Compose files" }), [path]);
  await page.getByRole("heading", { name: "Plan: 1 created" }).waitFor();
  await page.getByRole("button", { name: "Deploy" }).click();
  await converged(server.calls, "shop_web");

  await showView(page, "#/services/shop_web");
  await page.getByLabel("Replicas").fill("3");
  await page.getByRole("button", { name: "Scale" }).click();
  await expect.poll(async () => (await converged(server.calls, "shop_web")).running).toBe(3);

  await showView(page, "#/nodes");
  const [node] = await page.getByRole("rowheader").allTextContents();
  await page.getByRole("link", { name: node ?? "", exact: true }).click();
  await page.getByRole("button", { name: "Drain" }).click();
  await page.getByText("The node is drained.").waitFor();
  await showView(page, "#/");
  await expect.poll(() => running(page)).toBe(3);
  expect(problems).toEqual({ messages: [], foreignRequests: [] });
});

test("the web UI of the demo presents its requests, and the tasks of a lost host move", async () => {
  const server = await context.cluster.startServer();
  await context.cluster.startAgents(["a", "b", "c"]);
  await server.calls.deployStack(deployment([service("web", { replicas: 6 })]));
  await converged(server.calls, "shop_web");
  const outcomes: readonly RequestOutcome[] = [
    { sentAtMs: 0, durationMs: 2, result: { kind: "answered", replica: "web.1" } },
    { sentAtMs: 0, durationMs: 4, result: { kind: "failed", reason: "timeout" } },
  ];
  const environment = { ...process.env, BERTH_SERVER: `unix:${server.socket}` };
  const presented = await DemoProxy.start({ cliEnv: () => environment }, () => outcomes);
  onTestFinished(() => presented.close());
  const { page, problems } = await openPage(browser, { url: presented.link });
  onTestFinished(() => page.context().close());
  await presented.opened;
  await page.getByText("2 requests sent, 1 failed").waitFor();
  await expect.poll(() => running(page)).toBe(6);

  presented.addEvent({ kind: "cut", host: "a", replicas: 2 }, 0);
  await context.cluster.agents[0]?.loseHost();
  await expect.poll(() => page.locator(".host[data-status=down]").count()).toBe(1);
  await expect.poll(() => running(page)).toBe(6);
  expect(await page.locator(".host[data-status=down] .cell[data-state=running]").count()).toBe(0);
  await expect.poll(() => page.locator(".moves li").count()).toBe(2);
  await page.getByText("0.00 s power of a cut, with 2 replicas on it").waitFor();
  expect(problems).toEqual({ messages: [], foreignRequests: [] });
});
