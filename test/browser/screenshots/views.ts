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
const VIEWS = {
  map: "#/",
  services: "#/services",
  service: "#/services/shop_web",
  nodes: "#/nodes",
  node: "#/nodes/h2",
  task: "#/tasks/t1",
  stacks: "#/stacks",
  timeline: "#/timeline",
  cluster: "#/cluster",
  present: "#/present",
} as const;

/** Writes a screenshot of each view in both themes, for a desktop and for a phone. */
export async function photographViews(
  browser: Browser,
  directory: string,
  onWritten: (name: string) => void,
): Promise<void> {
  for (const theme of THEMES) {
    for (const width of WIDTHS) {
      const cluster = new SimulatedCluster({ hosts: 6, services: 4, tasksPerService: 8 });
      const server = await PageServer.start(cluster, (method) => SHOP_RESPONSES[method] ?? {});
      const { page } = await openPage(browser, { url: server.url, theme, width });
      try {
        await page.locator(".cell").first().waitFor();
        simulateFailure(server, cluster);
        simulateTraffic(server);
        await page.locator(".host[data-status=down]").waitFor();
        await page.locator(".moves li").first().waitFor();
        for (const [view, fragment] of Object.entries(VIEWS)) {
          await showView(page, fragment);
          await page.locator("h1").first().waitFor({ state: "attached" });
          await untilStill(page);
          const name = `${view}-${theme}-${width}.png`;
          await page.screenshot({ path: join(directory, name), fullPage: true });
          onWritten(name);
        }
      } finally {
        await page.context().close();
        await server.close();
      }
    }
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
