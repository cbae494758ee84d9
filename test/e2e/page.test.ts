import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Lab } from "../../deploy/lab/lab.js";
import type { LabHost } from "../../deploy/lab/lab-host.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { describePage, type OpenedPage, openPage, showView, untilTrue } from "../browser/browser.js";
import { moveFocusTo } from "../browser/keyboard.js";
import { dragThumb, dropFiles, grabThumb, shareOfValue } from "../browser/mouse.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { CONVERGE_TIMEOUT_MS, createCluster, readyNodes, waitForReplicas } from "./support/cluster.js";
import { launchLabBrowser } from "./support/lab-browser.js";

const REPLICAS = 6;
const composeFile = (replicas: number | string): string => `
services:
  web:
    image: hello:1
    command: ["/usr/bin/busybox", "sh", "-c", "echo started; exec /usr/bin/busybox sleep 100000"]
    stop_grace_period: 1s
    deploy: { replicas: ${replicas} }
`;
const SHELL = "/usr/bin/busybox sh";

/** An expression of JavaScript that counts elements of the map. */
const count = (selector: string): string => `document.querySelectorAll(".map ${selector}").length`;
const RUNNING = count(".cell[data-state=running]");
const CONNECTION = "document.querySelector('.connection').dataset.kind";

describe("the page of a server, in Chromium", () => {
  let lab: Lab;
  let browser: Browser;
  let opened: OpenedPage;
  let page: Page;

  beforeAll(async () => {
    lab = await createCluster(3, { servers: 3 });
    browser = await launchLabBrowser(lab);
    await open(lab.host("h1"));
    await untilTrue(page, `${count(".host[data-status=ready]")} === 3`, CONVERGE_TIMEOUT_MS);
  });
  beforeEach(({ onTestFailed }) => {
    onTestFailed(async () => console.error(await describePage(opened)));
  });
  afterAll(async () => {
    await browser?.close();
    await lab?.down();
  });

  /** Opens the page of a host's server. */
  async function open(host: LabHost): Promise<void> {
    opened = await openPage(browser, { url: await linkTo(host) });
    page = opened.page;
    await page.evaluate("window.isFirstLoad = true");
  }

  /** Returns a link that logs in to the page of a host's server. */
  async function linkTo({ address }: LabHost): Promise<string> {
    const { stdout, stderr } = await lab.berth(["ui", "login", "-o", "json"]);
    const { links } = JSON.parse(stdout) as { readonly links: readonly string[] };
    const link = links.find((each) => each.includes(`//${address}:`));
    if (link === undefined) throw new Error(`no link to ${address}: ${stdout}${stderr}`);
    return link;
  }

  /** Returns when the leader recorded an event of a node, in ms since the epoch. */
  async function timeOfEvent(reason: string, hostname: string): Promise<number> {
    const find = async (): Promise<number | undefined> => {
      const { stdout } = await lab.berth(["events", "--since", "5m", "-o", "json"]);
      const events = stdout
        .split("\n")
        .filter((line) => line.includes(reason))
        .map((line) => JSON.parse(line) as { readonly time: string; readonly nodeHostname: string });
      const event = events.findLast(({ nodeHostname }) => nodeHostname === hostname);
      return event && Date.parse(event.time);
    };
    return waitUntil(find, { what: `the event ${reason} of ${hostname}`, timeoutMs: CONVERGE_TIMEOUT_MS });
  }

  async function untilShown(condition: string): Promise<number> {
    return untilTrue(page, condition, CONVERGE_TIMEOUT_MS);
  }

  test("checks, plans and deploys a Compose file that is dropped", async () => {
    await showView(page, "#/stacks");
    const path = join(temporaryDirectory(), "shop.yml");
    const drop = async (text: string): Promise<void> => {
      await writeFile(path, text);
      await dropFiles(page, page.getByRole("region", { name: "Compose files" }), [path]);
    };
    await drop(composeFile("many"));
    await page.getByRole("alert").getByText("shop.yml:7:25: services.web.deploy.replicas: ").waitFor();
    await drop(composeFile(REPLICAS / 2));
    await page.getByRole("heading", { name: "Plan: 1 created" }).waitFor();
    await page.getByText("Nothing was deployed yet.").waitFor();
    await page.getByRole("button", { name: "Deploy" }).click();
    await page.getByText("Deployed stack shop").waitFor();
    await waitForReplicas(lab, "shop_web", REPLICAS / 2);
  });

  test("deploys a Compose file that is selected with the keyboard", async () => {
    const file = { name: "shop.yml", mimeType: "text/yaml", buffer: Buffer.from(composeFile(REPLICAS)) };
    page.once("filechooser", (chooser) => void chooser.setFiles(file));
    await showView(page, "#/stacks");
    await moveFocusTo(page, "Select files");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Plan: 1 updated" }).waitFor();
    // The button has no effect until the check has ended.
    await page.getByText("Nothing was deployed yet.").waitFor();
    await moveFocusTo(page, "Deploy");
    await page.keyboard.press("Enter");
    await page.getByText("Deployed stack shop").waitFor();
    await waitForReplicas(lab, "shop_web", REPLICAS);
    await showView(page, "#/");
    await untilShown(`${RUNNING} === ${REPLICAS}`);
  });

  test("shows logs, downloads them, and runs a shell with the keyboard", async () => {
    await moveFocusTo(page, "h1 ready");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Task shop_web" }).waitFor();
    await moveFocusTo(page, "Show logs");
    await page.keyboard.press("Enter");
    await page.getByRole("log").getByText("started").waitFor();
    expect(await page.evaluate("document.activeElement.ariaLabel")).toBe("Log");
    const download = page.waitForEvent("download");
    await moveFocusTo(page, "Download", { isBackward: true });
    await page.keyboard.press("Enter");
    expect(await readFile(await (await download).path(), "utf8")).toMatch(/shop_web\.\d+@h1 started\n$/);

    await moveFocusTo(page, "sh");
    await page.keyboard.press("Control+A");
    await page.keyboard.type(SHELL);
    await page.keyboard.press("Enter");
    await page.getByText("Connected.").waitFor();
    await page.keyboard.type("echo $((6 * 7))");
    await page.keyboard.press("Enter");
    await page.locator(".xterm-rows").getByText("42", { exact: true }).waitFor();
    await page.keyboard.press("Control+Shift+Escape");
    await page.keyboard.press("Enter");
    await page.locator(".terminal").waitFor({ state: "detached" });
  });

  test("shows a power cut while its tasks move, without a reload", async () => {
    await showView(page, "#/");
    await untilShown(`${RUNNING} === ${REPLICAS}`);
    const leader = await lab.leaderHost();
    const victim = lab.hosts.find((host) => host !== leader && host !== lab.host("h1"));
    if (victim === undefined) throw new Error("all hosts are needed");
    const shownDown = untilShown(`${count(".host[data-status=down]")} === 1`);
    const lost = `${count(`.host[data-status=down] .cell[data-state=running]`)}`;
    const allMoved = shownDown.then(() => untilShown(`${RUNNING} === ${REPLICAS} && ${lost} === 0`));
    const cutAtMs = Date.now();
    await victim.kill();
    const [downAtMs, movedAtMs] = await Promise.all([shownDown, allMoved]);
    const knownAtMs = await timeOfEvent("NODE_DOWN", victim.name);
    print(
      `shown as down ${downAtMs - knownAtMs} ms after the leader knew, ${downAtMs - cutAtMs} ms after the cut`,
    );
    print(`all tasks have moved ${movedAtMs - cutAtMs} ms after the cut`);
    await page.getByText(`from ${victim.name} to`).first().waitFor();
    expect(await page.evaluate("window.isFirstLoad")).toBe(true);

    await victim.start();
    await waitUntil(async () => (await readyNodes(lab)).length === 3, {
      what: "three ready nodes",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
    await untilShown(`${count(".host[data-status=ready]")} === 3`);
  });

  test("shows the power cut again while the mouse drags the replay", async () => {
    await showView(page, "#/timeline");
    const slider = page.getByRole("slider");
    const event = page.getByRole("row").filter({ hasText: "node down" });
    await event.getByRole("button").first().press("Enter");
    await untilShown(`${count(".host[data-status=down]")} === 1`);
    const share = await shareOfValue(slider);
    await grabThumb(page, slider, share);
    await dragThumb(page, slider, share / 2);
    await untilShown(`${count(".host[data-status=ready]")} === 3`);
    await page.mouse.up();
    await page.getByRole("button", { name: "Back to now" }).first().click();
    await page.locator(".replay-banner").waitFor({ state: "detached" });
    await untilShown(`${RUNNING} === ${REPLICAS}`);
  });

  test("resumes after the leader is killed, without a missed or doubled event", async () => {
    const leader = await lab.leader();
    const other = lab.hosts.find(({ name }) => name !== leader?.name);
    if (leader === undefined || other === undefined) throw new Error("the cluster has no leader");
    // The page of a killed server could not continue.
    if (leader.name === "h1") {
      expect(opened.problems).toEqual({ messages: [], foreignRequests: [] });
      await page.context().close();
      await open(other);
    }
    await untilShown(`${CONNECTION} === "live"`);
    const scaling = lab.berth(["service", "scale", `shop_web=${REPLICAS + 3}`]);
    const cutOff = untilShown(`${CONNECTION} === "cut-off"`);
    const resumed = cutOff.then(() => untilShown(`${CONNECTION} === "live"`));
    const killedAtMs = Date.now();
    await leader.kill("server");
    print(`the stream resumed ${(await resumed) - killedAtMs} ms after the leader was killed`);
    expect((await scaling).code).toBe(0);
    await untilShown(`${RUNNING} === ${REPLICAS + 3}`);
    await showView(page, "#/timeline");
    for (const event of ["task placed", "task started"]) {
      const rows = page.getByRole("row").filter({ hasText: event });
      for (let slot = REPLICAS + 1; slot <= REPLICAS + 3; slot += 1) {
        const ofSlot = rows.filter({ hasText: `shop_web.${slot} ` });
        await expect.poll(() => ofSlot.count(), { message: `${event}: slot ${slot}` }).toBe(1);
      }
    }
    expect(await page.getByText("events are missing").count()).toBe(0);
    expect(await page.evaluate("window.isFirstLoad")).toBe(true);
    await leader.startWithoutWaiting();
  });

  test("scales, rolls back and drains with the keyboard", async () => {
    await showView(page, "#/services/shop_web");
    await page.getByLabel("Replicas").waitFor();
    await moveFocusTo(page, "Replicas");
    await page.keyboard.press("Control+A");
    await page.keyboard.type(`${REPLICAS}`);
    await page.keyboard.press("Enter");
    await page.getByText(`Scaled to ${REPLICAS} replicas.`).waitFor();
    await waitForReplicas(lab, "shop_web", REPLICAS);
    await moveFocusTo(page, "Roll back to version 1");
    await page.keyboard.press("Enter");
    await page.getByText("Restoring version 1.").waitFor();

    await showView(page, "#/nodes/h3");
    await moveFocusTo(page, "Drain");
    await page.keyboard.press("Enter");
    await page.getByText("The node is drained.").waitFor();
    await expect.poll(() => page.evaluate("document.activeElement.textContent")).toBe("Drain");
    // The file that was dropped had half of the replicas.
    await waitForReplicas(lab, "shop_web", REPLICAS / 2);
    expect(opened.problems).toEqual({ messages: [], foreignRequests: [] });
  });
});

/** Prints a measured time if `BERTH_PRINT_TIMES` is set. A busy machine delays what it measures. */
function print(text: string): void {
  if (process.env.BERTH_PRINT_TIMES !== undefined) console.log(text);
}
