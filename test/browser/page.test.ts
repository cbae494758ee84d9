import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Browser, Locator, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { JsonObject } from "../../packages/web/src/core/json.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { accessibilityViolations, launchBrowser, type OpenedPage, openPage, showView } from "./browser.js";
import { dragThumb, dropFiles, grabThumb } from "./mouse.js";
import { PAGE_DIRECTORY, PageServer } from "./page-server.js";
import { SHOP_RESPONSES } from "./shop-responses.js";
import { SimulatedCluster } from "./simulated-cluster.js";

let browser: Browser;
let cluster: SimulatedCluster;
let server: PageServer;

beforeAll(async () => {
  browser = await launchBrowser();
});
afterAll(() => browser.close());
afterEach(async () => {
  await Promise.all(browser.contexts().map((context) => context.close()));
  await server.close();
});

async function open(options: { width?: number; theme?: "light" | "dark" } = {}): Promise<OpenedPage> {
  cluster = new SimulatedCluster({ hosts: 4, services: 2, tasksPerService: 4 });
  server = await PageServer.start(cluster, (method) => SHOP_RESPONSES[method] ?? {});
  const opened = await openPage(browser, { url: server.url, ...options });
  await expectText(opened.page.locator(".connection"), "Live");
  return opened;
}

async function expectText(locator: Locator, text: string): Promise<void> {
  await expect.poll(() => locator.first().textContent()).toContain(text);
}

const cells = (page: Page, state: string): Locator => page.locator(`.cell[data-state=${state}]`);

describe("the map", () => {
  it("moves the tasks of a lost node, and names the reason", async () => {
    const { page } = await open();
    await expect.poll(() => cells(page, "running").count()).toBe(8);
    server.send(cluster.loseNode("n2"));
    await expect
      .poll(() => page.locator(".host[data-status=down] .cell[data-state=unknown]").count())
      .toBe(2);
    server.send(cluster.replaceTasks("n2"));
    await expect.poll(() => cells(page, "running").count()).toBe(8);
    expect(await page.locator(".host[data-status=down] .cell").count()).toBe(0);
    await expectText(page.locator(".moves li"), "moved from h2 to");
    await expectText(page.locator(".moves li"), "its node was lost: node is down");
  });

  it("shows suspect, drained, paused, joining and unreachable nodes", async () => {
    const { page } = await open();
    server.send(cluster.setNode("n1", { isSuspect: true }));
    server.send(cluster.setNode("n2", { availability: "AVAILABILITY_DRAIN" }));
    server.send(cluster.setNode("n3", { agentUnreachable: true }));
    server.send(cluster.setNode("n4", { awaitsApproval: true }));
    const statuses = () => page.locator(".host-status").allTextContents();
    await expect.poll(statuses).toEqual(["suspect", "drain", "agent unreachable", "waiting for approval"]);
    expect(await page.locator(".host[data-status=suspect] .cell[data-state=running]").count()).toBe(0);
  });

  it("shows tasks without a node with the reason, until they are placed", async () => {
    const { page } = await open();
    const reason = "no node has 8 GiB of free memory";
    server.send(cluster.setTask("t1", { nodeId: "", state: "TASK_STATE_NEW", message: reason }));
    const waiting = page.locator(".host[data-status=unplaced] .cell");
    await expect
      .poll(() => waiting.getAttribute("aria-label"))
      .toBe(`shop_web.1 waiting for a node: ${reason}`);
    server.send(cluster.setTask("t1", { nodeId: "n1", state: "TASK_STATE_RUNNING", message: "" }));
    await expect.poll(() => waiting.count()).toBe(0);
  });

  it("has the same content as a table", async () => {
    const { page } = await open();
    await page.getByLabel("Show as").selectOption("table");
    await expect.poll(() => page.getByRole("row").count()).toBe(9);
  });

  it("hides tasks that the filter excludes", async () => {
    const { page } = await open();
    await page.getByLabel("Filter").fill("shop_web");
    await expect.poll(() => page.locator(".cell:visible").count()).toBe(4);
  });
});

describe("the stream", () => {
  it("shows no task as running while the web UI is cut off, and continues afterwards", async () => {
    const { page } = await open();
    server.isDown = true;
    server.disconnect();
    await expectText(page.locator(".connection"), "Cut off");
    await expect.poll(() => cells(page, "running").count()).toBe(0);
    expect(await page.locator(".host[data-status=ready]").count()).toBe(0);
    await expectText(page.locator(".counts"), "0 of 8 tasks running");
    server.isDown = false;
    await expectText(page.locator(".connection"), "Live");
    await expect.poll(() => cells(page, "running").count()).toBe(8);
  });

  it("follows the next leader, and shows each event once", async () => {
    const { page } = await open();
    await showView(page, "#/timeline");
    server.send(cluster.loseNode("n2"));
    const events = page.getByRole("row").filter({ hasText: "node down" });
    await expect.poll(() => events.count()).toBe(1);
    server.changeLeader();
    server.send(cluster.setNode("n2", { state: "NODE_STATE_READY" }));
    await expect.poll(() => page.locator(".host[data-status=ready]").count()).toBe(4);
    expect(await events.count()).toBe(1);
  });

  it("asks to log in when the session ends", async () => {
    const { page } = await open();
    server.isLoggedIn = false;
    server.disconnect();
    await expectText(page.getByRole("heading"), "Log in to berth");
    server.isLoggedIn = true;
    await page.getByLabel("Or enter the code").fill("alice.code");
    await page.keyboard.press("Enter");
    await expectText(page.locator(".connection"), "Live");
  });
});

describe("changes", () => {
  const calls = (method: string): readonly JsonObject[] =>
    server.calls.filter((made) => made.method === method).map(({ request }) => request);

  it("opens a task with the keyboard alone", async () => {
    const { page } = await open();
    await page.getByLabel("Density").focus();
    await page.keyboard.press("Tab");
    for (const key of ["ArrowDown", "ArrowRight", "ArrowRight", "Enter"]) await page.keyboard.press(key);
    await expectText(page.getByRole("heading", { level: 1 }), "Task shop_web");
  });

  it("scales and rolls back with the keyboard alone", async () => {
    const { page } = await open();
    await showView(page, "#/services/shop_web");
    await page.getByLabel("Replicas").focus();
    await page.keyboard.press("Control+A");
    await page.keyboard.type("6");
    await page.keyboard.press("Enter");
    await expectText(page.locator(".result"), "Scaled to 6 replicas.");
    expect(calls("ScaleServices")).toEqual([{ services: [{ service: "s1", replicas: 6 }] }]);
    await page.getByRole("button", { name: "Roll back to version 2" }).press("Enter");
    await expect.poll(() => calls("RollbackService")).toEqual([{ service: "s1", toVersion: 2 }]);
  });

  it("refuses to scale a service to an empty number of replicas", async () => {
    const { page } = await open();
    await showView(page, "#/services/shop_web");
    const field = page.getByLabel("Replicas");
    await field.fill("");
    await field.press("Enter");
    await expectText(page.locator(".result.error"), "invalid number of replicas");
    expect(calls("ScaleServices")).toEqual([]);
  });

  it("drains a node and counts the tasks that are left", async () => {
    const { page } = await open();
    await showView(page, "#/nodes/h2");
    await page.getByRole("button", { name: "Drain" }).press("Enter");
    await expect
      .poll(() => calls("UpdateNode"))
      .toEqual([{ node: "n2", availability: "AVAILABILITY_DRAIN" }]);
    server.send(cluster.setNode("n2", { availability: "AVAILABILITY_DRAIN" }));
    await expectText(page.getByText("Draining"), "Draining: 2 tasks left.");
    server.send(cluster.replaceTasks("n2"));
    await expectText(page.getByText("The node is drained"), "The node is drained.");
    // A button without an effect keeps the focus.
    expect(await page.evaluate("document.activeElement.textContent")).toBe("Drain");
  });

  it("checks and plans a dropped Compose file, and deploys exactly this plan", async () => {
    const { page } = await open();
    await showView(page, "#/stacks");
    const path = join(temporaryDirectory(), "shop.yml");
    const drop = async (text: string): Promise<void> => {
      writeFileSync(path, text);
      await dropFiles(page, page.getByRole("region", { name: "Compose files" }), [path]);
    };
    await drop("services:\n  web:\n    imag: shop:2\n    deploy: { replicas: many }\n");
    await expectText(page.getByRole("alert"), 'shop.yml:3:5: services.web.imag: unknown key "imag"');
    await expectText(page.getByRole("alert"), "shop.yml:4:25: services.web.deploy.replicas: ");
    expect(calls("DeployStack")).toEqual([]);
    // The plan is requested again after an attempt without a response.
    await page.route("**/DeployStack", (route) => route.abort(), { times: 1 });
    await drop("services:\n  web:\n    image: shop:2\n");
    await expectText(page.getByRole("heading", { level: 3 }), "Plan: 1 updated");
    expect(await page.getByRole("alert").count()).toBe(0);
    await page.getByRole("button", { name: "Deploy" }).press("Enter");
    await expectText(page.locator(".result"), "Deployed stack shop: 1 updated.");
    expect(calls("DeployStack")).toMatchObject([
      { dryRun: true, stack: "shop" },
      { planRev: "r1", stack: "shop" },
    ]);
  });

  it("offers viewers nothing that they may not do", async () => {
    cluster = new SimulatedCluster({ hosts: 4, services: 2, tasksPerService: 4 });
    server = await PageServer.start(cluster, (method) => SHOP_RESPONSES[method] ?? {});
    server.role = "USER_ROLE_VIEWER";
    const { page } = await openPage(browser, { url: server.url });
    for (const view of ["#/services/shop_web", "#/nodes/h1", "#/stacks", "#/tasks/t1"]) {
      await showView(page, view);
      await expect.poll(() => page.locator("h1").textContent()).not.toBe("");
      const names = await page.locator("main button").allTextContents();
      expect(names.filter((name) => !/^Show logs$/.test(name))).toEqual([]);
    }
  });

  it("shows logs, and finds text in them", async () => {
    const { page } = await open();
    await showView(page, "#/tasks/t1");
    await page.getByRole("button", { name: "Show logs" }).press("Enter");
    await expect.poll(() => page.locator(".log > div").count()).toBe(2);
    // The button is gone, and the arrow keys scroll the log.
    expect(await page.evaluate("document.activeElement.ariaLabel")).toBe("Log");
    await page.getByLabel("Search").fill("get");
    await expect
      .poll(() => page.locator(".log > div").allTextContents())
      .toEqual([expect.stringContaining("GET /")]);
  });

  it("runs a command in a terminal, and leaves it with the keyboard", async () => {
    const { page, problems } = await open();
    await showView(page, "#/tasks/t1");
    await page.getByRole("button", { name: "Open terminal" }).press("Enter");
    await page.getByText("Connected.").waitFor();
    await page.keyboard.type("hello");
    await expectText(page.locator(".xterm-rows"), "hello");
    // Styles of the terminal work without inline styles.
    const display = "getComputedStyle(document.querySelector('.xterm-rows span')).display";
    expect(await page.evaluate(display)).toBe("inline-block");
    await page.keyboard.press("Control+Shift+Escape");
    expect(await page.evaluate("document.activeElement.textContent")).toBe("Close terminal");
    await page.locator(".xterm-helper-textarea").focus();
    await page.keyboard.press("Control+D");
    await page.getByText("The command exited with code 3.").waitFor();
    expect(problems.messages).toEqual([]);
  });

  it("shows the map as it was, while the mouse drags the replay", async () => {
    const { page } = await open();
    await showView(page, "#/timeline");
    await page.waitForTimeout(500);
    const lost = page.locator(".host[data-status=down]");
    const onLostNode = page.locator(".host[data-node=n2] .cell");
    server.send(cluster.loseNode("n2"));
    await expect.poll(() => lost.count()).toBe(1);
    server.send(cluster.replaceTasks("n2"));
    await expect.poll(() => onLostNode.count()).toBe(0);
    const slider = page.getByRole("slider");
    await grabThumb(page, slider, 1);
    await dragThumb(page, slider, 0);
    // The button of the mouse is still pressed.
    await expect.poll(() => lost.count()).toBe(0);
    await expect.poll(() => onLostNode.count()).toBe(2);
    await expectText(page.locator(".replay-banner"), "Replay");
    await dragThumb(page, slider, 1);
    await expect.poll(() => lost.count()).toBe(1);
    await page.mouse.up();
    await slider.press("Home");
    await expect.poll(() => lost.count()).toBe(0);
    await page.getByRole("button", { name: "Back to now" }).first().click();
    await expect.poll(() => lost.count()).toBe(1);
  });

  it("shows the map at the time of an event, with its effect", async () => {
    const { page } = await open();
    await showView(page, "#/timeline");
    const onLostNode = page.locator(".host[data-status=down] .cell");
    server.send(cluster.loseNode("n2"));
    await expect.poll(() => onLostNode.count()).toBe(2);
    server.send(cluster.replaceTasks("n2"));
    await expect.poll(() => onLostNode.count()).toBe(0);
    const event = page.getByRole("row").filter({ hasText: "node down" });
    await event.getByRole("button").press("Enter");
    await expect.poll(() => onLostNode.count()).toBe(2);
  });
});

/** A view of the web UI in a state that has elements of its own. */
interface Scene {
  readonly title: string;
  readonly show: (page: Page) => Promise<void>;
}

const view = (fragment: string): Scene => ({
  title: fragment,
  show: async (page) => {
    await showView(page, fragment);
    await page.locator("h1").first().waitFor({ state: "attached" });
  },
});
const select = (label: string, option: string): Scene => ({
  title: `the map with ${label} ${option}`,
  show: async (page) => {
    await page.getByLabel(label).selectOption(option);
    await page
      .locator(option === "table" ? "tbody tr" : `.map[data-density=${option}] .cell`)
      .first()
      .waitFor();
  },
});
const press = (button: string, shown: string): Scene => ({
  title: `${button}: ${shown}`,
  show: async (page) => {
    await page.getByRole("button", { name: button }).first().press("Enter");
    await page.locator(shown).first().waitFor();
  },
});
const files = (title: string, compose: string, shown: string): Scene => ({
  title,
  show: async (page) => {
    const file = { name: "shop.yml", mimeType: "text/yaml", buffer: Buffer.from(compose) };
    await page.setInputFiles("input[type=file]", file);
    await page.locator(shown).waitFor();
  },
});

const SCENES: Readonly<Record<string, readonly Scene[]>> = {
  "the map": [
    view("#/"),
    ...["comfortable", "compact", "dense"].map((density) => select("Density", density)),
    select("Show as", "table"),
  ],
  services: [view("#/services"), view("#/services/shop_web"), press("Show logs", ".log > div")],
  "nodes and tasks": [
    view("#/nodes"),
    view("#/nodes/h2"),
    view("#/nodes/h4"),
    view("#/tasks/t1"),
    press("Show logs", ".log > div"),
    press("Open terminal", ".xterm-rows"),
  ],
  stacks: [
    view("#/stacks"),
    files("errors of a Compose file", "services:\n  web: { imag: x }\n", "[role=alert]"),
    files("the plan of a stack", "services:\n  web: { image: x }\n", "#plan-title"),
  ],
  "the timeline": [
    view("#/timeline"),
    {
      title: "the replay",
      show: async (page) => {
        await page.getByRole("slider").press("Home");
        await page.locator(".replay-banner").waitFor();
      },
    },
  ],
  "the cluster, the presentation and the login": [
    view("#/cluster"),
    view("#/present"),
    {
      title: "the web UI while it is cut off",
      show: async (page) => {
        server.isDown = true;
        server.disconnect();
        await page.locator(".connection[data-kind=cut-off]").waitFor();
      },
    },
    {
      title: "the login",
      show: async (page) => {
        server.isDown = false;
        server.isLoggedIn = false;
        server.disconnect();
        await page.getByRole("heading", { name: "Log in to berth" }).waitFor();
      },
    },
  ],
};

describe.each([
  { theme: "light", width: 1_280 },
  { theme: "dark", width: 390 },
] as const)("the $theme theme with $width pixels", ({ theme, width }) => {
  it.each(Object.entries(SCENES))(
    "has no accessibility violation, fits the screen, and requests nothing from elsewhere: %s",
    async (_title, scenes) => {
      const { page, problems } = await open({ theme, width });
      server.send(cluster.loseNode("n2"));
      server.send(cluster.setNode("n3", { isSuspect: true }));
      server.send(cluster.setNode("n4", { availability: "AVAILABILITY_DRAIN" }));
      server.send(cluster.setTask("t8", { nodeId: "", state: "TASK_STATE_NEW", message: "no node fits" }));
      server.send(cluster.startRollout("s1"));
      for (const { title, show } of scenes) {
        await show(page);
        expect(await accessibilityViolations(page), title).toEqual([]);
        expect(
          await page.evaluate("document.documentElement.scrollWidth - innerWidth"),
          title,
        ).toBeLessThanOrEqual(0);
      }
      expect(problems).toEqual({ messages: [], foreignRequests: [] });
    },
  );
});

it("loads at most 60 kB before a terminal or the reader of Compose files is needed", async () => {
  const { page } = await open();
  const paths = (await page.evaluate(
    "performance.getEntries().flatMap(({ name }) => /(assets|icon)[^?]*$/.exec(name)?.[0] ?? [])",
  )) as readonly string[];
  expect(paths.some((path) => path.startsWith("assets/app-"))).toBe(true);
  const sizes = ["index.html", ...new Set(paths)].map(
    (path) => gzipSync(readFileSync(join(PAGE_DIRECTORY, path)), { level: 9 }).length,
  );
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  expect(bytes, "bytes of the first load, compressed with gzip").toBeLessThanOrEqual(60_000);
});
