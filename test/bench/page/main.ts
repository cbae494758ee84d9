// `npm run bench -- page`: opens the web UI of a large simulated cluster in Chromium, and measures how long it keeps the
// browser's main thread busy and how much memory it uses. Then measures what ten such viewers cost a leader. With
// `--minutes`, it uses the web UI for a long time, and measures only whether its memory grows.
import { setTimeout as sleep } from "node:timers/promises";
import type { Browser, CDPSession, Page } from "playwright-core";
import { launchBrowser, openPage, showView } from "../../browser/browser.js";
import { PageServer } from "../../browser/page-server.js";
import { SHOP_RESPONSES } from "../../browser/shop-responses.js";
import { type Changes, SimulatedCluster } from "../../browser/simulated-cluster.js";
import { type Figure, figureOf, median, worstOf } from "../report.js";
import { type BenchContext, runBench } from "../run-bench.js";
import { type LeaderRun, type LeaderSize, leaderRun } from "./leader-run.js";
import { mainThreadTasks } from "./trace.js";

const SIZE = { hosts: 300, services: 30, tasksPerService: 100 };
const SMOKE_SIZE = { hosts: 4, services: 2, tasksPerService: 5 };
const CHANGES_PER_SECOND = 200;
/** The web UI keeps this many states for the replay. A long run begins with as many changes. */
const REPLAY_STATES = 200_000;
/** Changes in a second before a long run. The browser can handle more. */
const FILLING_CHANGES_PER_SECOND = 2_000;
/** Interval at which the leader sends updates. */
const UPDATE_INTERVAL_MS = 100;
/** Number of changes of which one replaces a task on another node, which the map animates. */
const CHANGES_PER_REPLACEMENT = 4;
const DEFAULT_SECONDS = 20;
const SMOKE_SECONDS = 2;
/** The trace of an hour would not fit into memory: only the last seconds of a run are traced. */
const TRACED_SECONDS = 20;
/** How often a long run shows all views, and measures the heap. */
const HEAP_INTERVAL_SECONDS = 60;
const VIEWS = [
  "services",
  "services/shop_web",
  "nodes",
  "nodes/h1",
  "stacks",
  "timeline",
  "cluster",
  "present",
];
/**
 * Duration of the updates before the heap is measured for the first time, so that growth does not include what is
 * loaded once.
 */
const WARM_UP_SECONDS = 3;
/** Windows of a leader with viewers, and of one without. They alternate, because other programs change the times. */
const LEADER_SIZE = { ...SIZE, changesPerSecond: CHANGES_PER_SECOND, viewers: 10, windowMs: 20_000 };
const SMOKE_LEADER_SIZE = { ...SMOKE_SIZE, changesPerSecond: 20, viewers: 2, windowMs: 1_000 };
const LOAD_TIMEOUT_MS = 60_000;
const MIB = 1024 * 1024;

/** The CPU times and heap sizes of one run. */
interface PageRun {
  readonly longestTaskMs: number;
  readonly busyPercent: number;
  readonly heapMib: number;
  /** Growth from the first third of the run to the last one, by the medians. */
  readonly heapGrowthMib: number;
}

async function measure(context: BenchContext): Promise<readonly Figure[]> {
  if (context.options.minutes !== undefined) return measurePage(context);
  const size: LeaderSize = context.isSmoke
    ? { ...SMOKE_LEADER_SIZE, windows: 1 }
    : { ...LEADER_SIZE, windows: context.runs };
  return [...(await measurePage(context)), ...leaderFigures(await leaderRun(size, context))];
}

function leaderFigures(run: LeaderRun): readonly Figure[] {
  return [
    figureOf({ name: "page.leader_cpu", unit: "%", runs: [run.baseCpuPercent] }),
    figureOf({
      name: "page.leader_cpu_10_viewers",
      unit: "%",
      runs: [run.viewersCpuPercent],
      goal: { kind: "at-most", value: 5 },
    }),
    figureOf({ name: "page.viewer_bytes", unit: "kB/s", runs: [run.bytesPerViewerPerSecond / 1_000] }),
    figureOf({ name: "page.leader_growth", unit: "MiB", runs: [run.leaderGrowthMib] }),
  ];
}

async function measurePage(context: BenchContext): Promise<readonly Figure[]> {
  const browser = await launchBrowser();
  try {
    const runs: PageRun[] = [];
    for (let run = 0; run < context.runs; run += 1) runs.push(await measureRun(browser, context));
    const of = (value: (run: PageRun) => number): readonly number[] => runs.map(value);
    return [
      worstOf({
        name: "page.longest_task_cpu",
        unit: "ms",
        runs: of(({ longestTaskMs }) => longestTaskMs),
        goal: { kind: "at-most", value: 50 },
      }),
      figureOf({ name: "page.main_thread_cpu", unit: "%", runs: of(({ busyPercent }) => busyPercent) }),
      figureOf({ name: "page.heap", unit: "MiB", runs: of(({ heapMib }) => heapMib) }),
      figureOf({
        name: "page.heap_growth",
        unit: "MiB",
        runs: of(({ heapGrowthMib }) => heapGrowthMib),
        goal: { kind: "at-most", value: 3 },
      }),
    ];
  } finally {
    await browser.close();
  }
}

async function measureRun(browser: Browser, context: BenchContext): Promise<PageRun> {
  const { isSmoke, signal, progress } = context;
  const { seconds, changesPerSecond, isLong } = loadOf(context);
  const cluster = new SimulatedCluster(isSmoke ? SMOKE_SIZE : SIZE);
  const server = await PageServer.start(cluster, (method) => SHOP_RESPONSES[method] ?? {});
  const { page } = await openPage(browser, { url: server.url });
  const change = (load: Load): Promise<void> => changeTasks(server, cluster, load, signal);
  try {
    await allDrawn(page, cluster.taskIds.length);
    const session = await page.context().newCDPSession(page);
    await change(isLong ? FILLING : { seconds: WARM_UP_SECONDS, changesPerSecond });
    const measureHeap = async (): Promise<number> => {
      if (isLong) await showViews(page, cluster);
      return heapBytes(session, progress);
    };
    const heaps = [await measureHeap()];
    const tracedSeconds = Math.min(seconds, TRACED_SECONDS);
    for (let left = seconds - tracedSeconds; left > 0; left -= HEAP_INTERVAL_SECONDS) {
      await change({ seconds: Math.min(left, HEAP_INTERVAL_SECONDS), changesPerSecond });
      heaps.push(await measureHeap());
    }
    await browser.startTracing(page, { categories: ["toplevel", "__metadata"] });
    await change({ seconds: tracedSeconds, changesPerSecond });
    const { longestMs, totalMs } = mainThreadTasks((await browser.stopTracing()).toString());
    heaps.push(await measureHeap());
    const third = Math.ceil(heaps.length / 3);
    const heapAfter = median(heaps.slice(-third));
    progress(`${seconds} s: longest task ${longestMs.toFixed(0)} ms of CPU time`);
    return {
      longestTaskMs: longestMs,
      busyPercent: totalMs / (10 * tracedSeconds),
      heapMib: heapAfter / MIB,
      heapGrowthMib: (heapAfter - median(heaps.slice(0, third))) / MIB,
    };
  } finally {
    await page.context().close();
    await server.close();
  }
}

interface Load {
  readonly seconds: number;
  readonly changesPerSecond: number;
}

const FILLING: Load = {
  seconds: REPLAY_STATES / FILLING_CHANGES_PER_SECOND,
  changesPerSecond: FILLING_CHANGES_PER_SECOND,
};

/** @throws Error if an option is invalid */
function loadOf({ options, isSmoke }: BenchContext): Load & { readonly isLong: boolean } {
  const { seconds, minutes, rate } = options;
  const isLong = minutes !== undefined;
  return {
    isLong,
    seconds: isLong
      ? positiveNumber("minutes", minutes) * 60
      : positiveNumber("seconds", seconds ?? String(isSmoke ? SMOKE_SECONDS : DEFAULT_SECONDS)),
    changesPerSecond: positiveNumber("rate", rate ?? String(CHANGES_PER_SECOND)),
  };
}

/** @throws Error if the text is not a positive number */
function positiveNumber(option: string, text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new Error(`invalid --${option} "${text}"; use a positive number`);
}

/** Shows each view, and then the map. */
async function showViews(page: Page, { taskIds }: SimulatedCluster): Promise<void> {
  for (const view of [...VIEWS, `tasks/${taskIds[0]}`]) {
    await showView(page, `#/${view}`);
    await page.locator("h1, .empty").first().waitFor({ state: "attached" });
  }
  await showView(page, "#/");
  await allDrawn(page, taskIds.length);
}

async function allDrawn(page: Page, tasks: number): Promise<void> {
  const giveUpAtMs = performance.now() + LOAD_TIMEOUT_MS;
  while ((await page.locator(".cell").count()) !== tasks) {
    if (performance.now() > giveUpAtMs) throw new Error("the web UI did not draw all tasks in time");
    await page.waitForTimeout(UPDATE_INTERVAL_MS);
  }
}

/** Changes tasks for some time: states, and replacements on other nodes. */
async function changeTasks(
  server: PageServer,
  cluster: SimulatedCluster,
  { seconds, changesPerSecond }: Load,
  signal: AbortSignal,
): Promise<void> {
  const changesPerUpdate = Math.max(1, (changesPerSecond * UPDATE_INTERVAL_MS) / 1_000);
  const intervalMs = (changesPerUpdate * 1_000) / changesPerSecond;
  for (let update = 0; update < (seconds * 1_000) / intervalMs; update += 1) {
    const first = update * changesPerUpdate;
    const changes = Array.from({ length: changesPerUpdate }, (_, index) => changeOne(cluster, first + index));
    server.send({
      tasks: changes.flatMap(({ tasks = [] }) => tasks),
      removedTasks: changes.flatMap(({ removedTasks = [] }) => removedTasks),
      events: changes.flatMap(({ events = [] }) => events),
    });
    await sleep(intervalMs, undefined, { signal });
  }
}

function changeOne(cluster: SimulatedCluster, index: number): Changes {
  const ids = cluster.taskIds;
  const id = ids[Math.floor(Math.random() * ids.length)] ?? "";
  if (index % CHANGES_PER_REPLACEMENT === 0) return cluster.replaceOne(id, Math.random);
  const state = index % 2 === 0 ? "TASK_STATE_RUNNING" : "TASK_STATE_STARTING";
  return cluster.setTask(id, { state, sinceMs: Date.now() });
}

/** Returns the size of the JavaScript objects that are in use. */
async function heapBytes(session: CDPSession, progress: (line: string) => void): Promise<number> {
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  const { nodes, jsEventListeners } = await session.send("Memory.getDOMCounters");
  progress(`heap ${(usedSize / MIB).toFixed(1)} MiB, ${nodes} DOM nodes, ${jsEventListeners} listeners`);
  return usedSize;
}

process.exitCode = await runBench(
  {
    name: "page",
    programs: { chromium: ["chromium", "--version"], etcd: ["etcd", "--version"] },
    options: { seconds: "N", minutes: "N", rate: "N" },
    measure,
  },
  process.argv.slice(2),
);
