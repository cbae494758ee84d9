import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { scaleTimeout } from "../../../deploy/lab/wait-until.js";
import { openPage, showView, untilTrue } from "../browser.js";
import { PageServer } from "../page-server.js";
import { SHOP_RESPONSES } from "../shop-responses.js";
import { SimulatedCluster } from "../simulated-cluster.js";

const TRAFFIC_SECONDS = 119;
const STILL_TIMEOUT_MS = scaleTimeout(30_000);
const THEMES = ["light", "dark"] as const;
const WIDTHS = [1_280, 390] as const;

/** A picture of a view. */
interface Picture {
  readonly view: string;
  /** What a user does before the picture is taken. */
  readonly prepare?: (page: Page) => Promise<void>;
}

const PICTURES: Readonly<Record<string, Picture>> = {
  map: { view: "#/" },
  services: { view: "#/services" },
  service: { view: "#/services/shop_web" },
  logs: { view: "#/services/shop_web", prepare: (page) => press(page, "Show logs", ".log > div") },
  nodes: { view: "#/nodes" },
  node: { view: "#/nodes/h1" },
  drain: { view: "#/nodes/h5" },
  task: { view: "#/tasks/t2" },
  terminal: { view: "#/tasks/t2", prepare: (page) => press(page, "Open terminal", ".xterm-rows") },
  stacks: { view: "#/stacks" },
  "stack-errors": {
    view: "#/stacks",
    prepare: (page) =>
      selectFile(
        page,
        "services:\n  web:\n    imag: shop:2\n    deploy: { replicas: many }\n",
        "[role=alert]",
      ),
  },
  "stack-plan": {
    view: "#/stacks",
    prepare: (page) => selectFile(page, "services:\n  web:\n    image: shop:2\n", "#plan-title"),
  },
  timeline: { view: "#/timeline" },
  cluster: { view: "#/cluster" },
  present: { view: "#/present" },
  replay: {
    view: "#/timeline",
    prepare: async (page) => {
      await page.getByRole("slider").press("Home");
      await page.locator(".replay-banner").waitFor();
    },
  },
};

async function press(page: Page, button: string, shown: string): Promise<void> {
  await page.getByRole("button", { name: button }).first().press("Enter");
  await page.locator(shown).first().waitFor();
}

async function selectFile(page: Page, text: string, shown: string): Promise<void> {
  const file = { name: "shop.yml", mimeType: "text/yaml", buffer: Buffer.from(text) };
  await page.setInputFiles("input[type=file]", file);
  await page.locator(shown).waitFor();
}

/** Writes pictures of all views in both themes, for a desktop and for a phone. */
export async function photographViews(
  browser: Browser,
  directory: string,
  onWritten: (name: string) => void,
): Promise<void> {
  for (const theme of THEMES) {
    for (const width of WIDTHS) {
      const write = async (page: Page, picture: string, fullPage: boolean): Promise<void> => {
        const name = `${picture}-${theme}-${width}.png`;
        await page.evaluate("scrollTo(0, 0)");
        await page.screenshot({ path: join(directory, name), fullPage });
        onWritten(name);
      };
      await photographSmallCluster(browser, { theme, width, write });
      await photographLargeCluster(browser, { theme, width, write });
    }
  }
}

interface Look {
  readonly theme: (typeof THEMES)[number];
  readonly width: number;
  readonly write: (page: Page, picture: string, fullPage: boolean) => Promise<void>;
}

async function photographSmallCluster(browser: Browser, { theme, width, write }: Look): Promise<void> {
  const cluster = new SimulatedCluster({ hosts: 6, services: 4, tasksPerService: 8 });
  const server = await PageServer.start(cluster, (method) => SHOP_RESPONSES[method] ?? {});
  const { page } = await openPage(browser, { url: server.url, theme, width });
  try {
    await page.locator(".cell").first().waitFor();
    simulateFailure(server, cluster);
    simulateTraffic(server);
    await page.locator(".flying").first().waitFor();
    await write(page, "moves", false);
    for (const [name, { view, prepare }] of Object.entries(PICTURES)) {
      // Another view closes what the picture before has opened.
      await showView(page, "#/");
      await showView(page, view);
      await page.locator("h1").first().waitFor({ state: "attached" });
      await prepare?.(page);
      await untilStill(page);
      await write(page, name, true);
    }
  } finally {
    await page.context().close();
    await server.close();
  }
}

/** The map of a large cluster, whose density is chosen by its size. */
async function photographLargeCluster(browser: Browser, { theme, width, write }: Look): Promise<void> {
  const cluster = new SimulatedCluster({ hosts: 300, services: 30, tasksPerService: 100 });
  const server = await PageServer.start(cluster);
  const { page } = await openPage(browser, { url: server.url, theme, width });
  try {
    await untilTrue(page, "document.querySelectorAll('.cell').length === 3000", STILL_TIMEOUT_MS);
    simulateFailure(server, cluster);
    await page.locator(".host[data-status=drain]").waitFor();
    await untilStill(page);
    await write(page, "large-map", false);
  } finally {
    await page.context().close();
    await server.close();
  }
}

/** A node is lost, one is suspect, one is drained, and a service is in a rollout. */
function simulateFailure(server: PageServer, cluster: SimulatedCluster): void {
  server.send(cluster.loseNode("n2"));
  server.send(cluster.replaceTasks("n2"));
  server.send(cluster.setNode("n3", { isSuspect: true }));
  server.send(cluster.setNode("n5", { availability: "AVAILABILITY_DRAIN" }));
  server.send(cluster.startRollout("s1"));
  server.send(
    cluster.setTask("t16", {
      nodeId: "",
      state: "TASK_STATE_NEW",
      message: "no node has 8 GiB of free memory (6 nodes checked)",
    }),
  );
}

/** Two minutes of connections to the first service, of which some fail when the node is lost. */
function simulateTraffic(server: PageServer): void {
  const endMs = Date.now();
  let [connections, failed] = [0, 0];
  for (let second = 0; second <= TRAFFIC_SECONDS; second += 1) {
    const hosts = ["n1", "n3", "n4"].map((nodeId, index) => ({
      nodeId,
      services: [
        { serviceId: "s1", connections: connections + 10 * index * second, failed, active: 6 + index },
      ],
    }));
    server.sendTraffic({ timeMs: endMs - 1_000 * (TRAFFIC_SECONDS - second), hosts });
    connections += Math.round(40 + 12 * Math.sin(second / 7) + 5 * Math.sin(second));
    failed += second === TRAFFIC_SECONDS - 20 ? 4 : 0;
  }
}

/** Waits for animations of moved tasks, and for what the page fetches. */
async function untilStill(page: Page): Promise<void> {
  const isStill = "document.querySelectorAll('.flying, [data-moved]').length === 0";
  const isLoaded = "!document.body.innerText.includes('Loading')";
  await untilTrue(page, `${isStill} && ${isLoaded}`, STILL_TIMEOUT_MS);
}
