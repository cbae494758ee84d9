// `npm run demo`: deploys a stack onto a new lab and shows that the stack survives when a host loses power.
import { once } from "node:events";
import { parseArgs } from "node:util";
import type { BaseLab } from "../lab/base-lab.js";
import { HttpTraffic } from "../lab/http-traffic.js";
import { createLab } from "../lab/lab.js";
import { LabError } from "../lab/lab-error.js";
import { openLab } from "../lab/open-lab.js";
import { DEFAULT_LAB } from "../lab/subnet.js";
import { removeLab } from "../lab/teardown.js";
import { createVmLab } from "../lab/vm/vm-lab.js";
import { ClusterReader, isReady, pollUntilTrue } from "./cluster.js";
import { DemoProxy } from "./demo-proxy.js";
import { cutPower, type FailoverOptions, findBusiestHost } from "./failover.js";
import { drawHostMap } from "./host-map.js";
import { printEvent, printRequests } from "./report.js";
import { Screen } from "./screen.js";
import { deployShop, SHOP } from "./shop.js";

/** Number of hosts in the lab. */
const HOSTS = 3;
/** Rate of the requests that the demo sends. */
const REQUESTS_PER_SECOND = 100;
/** Timeout for a node to become ready. */
const NODE_READY_TIMEOUT_MS = 60_000;

const USAGE = `usage: npm run demo [-- [--vm] [--web] | --down]

Starts ${HOSTS} Docker hosts on this machine, deploys a stack, sends traffic to it and
cuts the power of one host. The lab stays up afterwards.

  --vm         use virtual machines (docs/vm-lab.md)
  --web        also serve the web UI of the cluster, and wait until a browser shows it
  --down       remove the lab with all its data
  -h, --help   print this help`;

async function main(screen: Screen, signal: AbortSignal): Promise<number> {
  const { values } = parseArgs({
    options: {
      down: { type: "boolean" },
      web: { type: "boolean" },
      vm: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) {
    screen.line(USAGE);
    return 0;
  }
  if (values.down) return removeDemoLab(screen);

  screen.line(screen.paint("bold", "berth: three Docker hosts, one stack, one power cut"));
  const lab = await startLab(screen, values.vm === true, signal);
  const cluster = new ClusterReader(lab.servers[0]?.socket ?? "");
  try {
    await waitForNodes(screen, lab, cluster, signal);
    await deployShop(screen, lab, signal);
    const earlierTaskIds = await drawHostMap(screen, cluster, { stack: SHOP.stack });
    const withWebUi = values.web === true;
    return await showFailover({ screen, lab, cluster, signal, earlierTaskIds, withWebUi });
  } finally {
    cluster.close();
  }
}

async function removeDemoLab(screen: Screen): Promise<number> {
  await removeLab(DEFAULT_LAB);
  screen.line("The lab was removed.");
  return 0;
}

async function startLab(screen: Screen, isVirtual: boolean, signal: AbortSignal): Promise<BaseLab> {
  screen.heading("1  The lab");
  const running = await openLab().catch(() => undefined);
  if (running !== undefined) {
    screen.line("Using the running lab. (npm run demo -- --down removes it.)");
    for (const host of running.hosts) if (!host.isUp) await host.start(signal);
    return running;
  }
  screen.live("starting three Docker hosts with agents, and a server …");
  const create = isVirtual ? createVmLab : createLab;
  return create({ hosts: HOSTS, signal, onProgress: (step) => screen.line(`  ${step}`) });
}

async function waitForNodes(
  screen: Screen,
  lab: BaseLab,
  cluster: ClusterReader,
  signal: AbortSignal,
): Promise<void> {
  screen.live("waiting for the nodes to become ready …");
  for (const host of lab.hosts) {
    const readyAtMs = await pollUntilTrue(
      async () => isReady(await cluster.findNode(host.name)),
      NODE_READY_TIMEOUT_MS,
      signal,
    );
    if (readyAtMs === undefined) {
      throw new LabError("LAB_NOT_READY", `node ${host.name} did not become ready; see ${host.agentLogHint}`);
    }
  }
}

interface FailoverDemoOptions {
  readonly screen: Screen;
  readonly lab: BaseLab;
  readonly cluster: ClusterReader;
  readonly signal: AbortSignal;
  /** IDs of the tasks that ran before the power cut. */
  readonly earlierTaskIds: ReadonlySet<string>;
  /** Serve the web UI of the cluster. */
  readonly withWebUi: boolean;
}

async function showFailover(options: FailoverDemoOptions): Promise<number> {
  const { screen, lab, cluster, signal, earlierTaskIds, withWebUi } = options;
  const victim = await findBusiestHost(cluster, lab.hosts, SHOP.service);
  const target = lab.hosts.find((host) => host !== victim);
  if (target === undefined || victim === undefined) {
    throw new LabError("LAB_NOT_READY", "the demo needs at least two hosts");
  }
  const url = `http://${target.address}:${SHOP.port}/`;
  screen.heading(`3  ${REQUESTS_PER_SECOND} requests a second to ${url}, then a power cut`);
  const traffic = new HttpTraffic({ url, perSecond: REQUESTS_PER_SECOND, replicaOf: SHOP.replicaOf });
  const webUi = withWebUi ? await openWebUi(screen, lab, traffic, signal) : undefined;
  const onEvent: FailoverOptions["onEvent"] = (event, sinceCutMs) => {
    printEvent(screen, event, sinceCutMs);
    webUi?.addEvent(event, sinceCutMs);
  };
  const failover = await cutPower({
    cluster,
    traffic,
    screen,
    service: SHOP.service,
    victim,
    onEvent,
    signal,
  });
  screen.line();
  await drawHostMap(screen, cluster, { stack: SHOP.stack, earlierTaskIds });

  screen.line();
  printRequests(screen, failover);

  screen.heading(`4  ${victim.name} comes back`);
  screen.live(`starting ${victim.name} …`);
  await victim.start(signal);
  await pollUntilTrue(
    async () => isReady(await cluster.findNode(victim.name)),
    NODE_READY_TIMEOUT_MS,
    signal,
  );
  await drawHostMap(screen, cluster, { stack: SHOP.stack, earlierTaskIds });
  screen.line(
    screen.paint("dim", "  Healthy tasks stay where they are. New tasks go to the returned host first."),
  );
  printNextSteps(screen, lab, url, victim.name);
  if (webUi !== undefined) await serveWebUi(screen, webUi, signal);
  return failover.replacedAtMs === undefined ? 1 : 0;
}

/** Serves the web UI and waits until a browser shows it. */
async function openWebUi(
  screen: Screen,
  lab: BaseLab,
  traffic: HttpTraffic,
  signal: AbortSignal,
): Promise<DemoProxy> {
  screen.live("starting the web UI …");
  const webUi = await DemoProxy.start(lab, () => traffic.outcomes);
  screen.line("  Open this link, which works once, within a minute:");
  screen.line(`  ${screen.paint("bold", webUi.link)}`);
  try {
    await Promise.race([webUi.opened, once(signal, "abort")]);
    signal.throwIfAborted();
  } catch (error) {
    webUi.close();
    throw error;
  }
  return webUi;
}

/** Serves the web UI until the demo is interrupted. */
async function serveWebUi(screen: Screen, webUi: DemoProxy, signal: AbortSignal): Promise<void> {
  screen.line();
  screen.line("The web UI stays up until you press Ctrl-C.");
  if (!signal.aborted) await once(signal, "abort");
  webUi.close();
}

function printNextSteps(screen: Screen, lab: BaseLab, url: string, victim: string): void {
  screen.heading("The lab stays up. Next steps");
  const steps = [
    [`export BERTH_CONFIG=${lab.configDir}`, "for the commands below"],
    [`curl ${url}`, "send a request; the replicas take turns"],
    ["npm run lab -- status", "list machines and addresses"],
    ["npx berth stack ps shop", "list all tasks, including ended ones"],
    ["npm run lab -- kill h2", "cut the power of another host"],
    [`npm run lab -- partition ${victim}`, "disconnect a host (undo: heal)"],
    ["npx berth service scale shop_web=12", "add replicas"],
    ["npx berth service logs -f shop_web", "follow the merged logs"],
    ["npm run demo -- --down", "remove the lab"],
  ] as const;
  const width = Math.max(...steps.map(([command]) => command.length)) + 2;
  for (const [command, meaning] of steps) {
    screen.line(`  ${command.padEnd(width)}${screen.paint("dim", meaning)}`);
  }
}

const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.abort());
const screen = new Screen();
try {
  process.exitCode = await main(screen, interrupted.signal);
} catch (error) {
  if (interrupted.signal.aborted) {
    screen.line();
    console.error("demo: interrupted; remove the lab with npm run demo -- --down");
    process.exitCode = 130;
  } else if (error instanceof LabError) {
    console.error(`demo: ${error.message}`);
    process.exitCode = 1;
  } else {
    throw error;
  }
}
