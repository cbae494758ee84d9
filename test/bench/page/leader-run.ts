import { setTimeout as sleep } from "node:timers/promises";
import { ControlServiceService, DeployStackRequest } from "@berth/proto";
import { createRpcClient } from "@berth/proto/rpc";
import { startTestEtcd } from "../../harness/etcd.js";
import { type ServerProcess, startServerProcess } from "../../harness/server-process.js";
import { TestIdentities } from "../../harness/test-identities.js";
import { WebClient } from "../../harness/web-client.js";
import { usageOf } from "../process-usage.js";
import { median } from "../report.js";
import type { BenchContext } from "../run-bench.js";
import { AgentCounters } from "../scale/agent-counters.js";
import { admitNodes, buildServices, type SimHost, startAgents } from "../scale/sim-hosts.js";

export interface LeaderSize {
  readonly hosts: number;
  readonly services: number;
  readonly tasksPerService: number;
  readonly changesPerSecond: number;
  readonly viewers: number;
  /** Duration of a window with viewers, and of one without. */
  readonly windowMs: number;
  /** Number of windows with viewers. */
  readonly windows: number;
}

/** What viewers of the web UI cost the leader. */
export interface LeaderRun {
  /** CPU time of the leader without viewers, in percent of a core. */
  readonly baseCpuPercent: number;
  /** The same with viewers, minus the base. */
  readonly viewersCpuPercent: number;
  readonly bytesPerViewerPerSecond: number;
  /** Memory that the leader has gained since the first window with viewers. */
  readonly leaderGrowthMib: number;
}

const START_MS = 500;
const PHASE_TIMEOUT_MS = 180_000;
const DEPLOY_TIMEOUT_MS = 60_000;
/** The agents report changes this often. */
const TICK_MS = 100;
/** A leader keeps its view of the cluster for this long after the last viewer has left. */
const LINGER_MS = 30_000;
/** Time for the viewers' snapshots to arrive before a window starts. */
const SNAPSHOT_MS = 2_000;
const MIB = 1_024 * 1_024;

/** Measures a leader with changes of its tasks, in turns with and without viewers of its page. */
export async function leaderRun(size: LeaderSize, { signal, progress }: BenchContext): Promise<LeaderRun> {
  const etcd = await startTestEtcd({ fsync: true });
  const identities = await TestIdentities.create();
  const hosts = new AbortController();
  let server: ServerProcess | undefined;
  try {
    const dataDir = identities.createDataDir();
    server = await startServerProcess([
      "--etcd",
      etcd.endpoint,
      "--data-dir",
      dataDir,
      "--web",
      "127.0.0.1:0",
    ]);
    const nodes = await admitNodes(size.hosts, { identities, etcd, signal });
    const counters = new AgentCounters();
    const agents = startAgents({
      startMs: START_MS,
      addresses: [server.address],
      nodes,
      counters,
      hosts: hosts.signal,
    });
    await deployTasks(size, { server, counters, signal });
    progress(`${size.services * size.tasksPerService} tasks run on ${size.hosts} simulated hosts`);
    return await measureWindows(size, { server, agents, signal, progress });
  } finally {
    hosts.abort();
    await server?.kill();
    await etcd.close();
    identities.close();
  }
}

interface Cluster {
  readonly server: ServerProcess;
  readonly counters: AgentCounters;
  readonly signal: AbortSignal;
}

async function deployTasks(
  { services, tasksPerService, hosts }: LeaderSize,
  { server, counters, signal }: Cluster,
): Promise<void> {
  const wait = { timeoutMs: PHASE_TIMEOUT_MS, signal };
  const connected = (): boolean => (counters.setsByEpoch.get(counters.epoch) ?? 0) >= hosts;
  await counters.waitUntil("all agents are connected", connected, wait);
  const client = createRpcClient(ControlServiceService, { socket: server.socket });
  try {
    const request = DeployStackRequest.fromPartial({
      stack: "scale",
      services: buildServices({ services, replicas: tasksPerService }),
    });
    await client.calls.deployStack(request, { timeoutMs: DEPLOY_TIMEOUT_MS, signal });
    await counters.waitUntil("all tasks run", () => counters.stored >= services * tasksPerService, wait);
  } finally {
    client.close();
  }
}

async function measureWindows(
  size: LeaderSize,
  {
    server,
    agents,
    signal,
    progress,
  }: {
    readonly server: ServerProcess;
    readonly agents: readonly SimHost[];
    readonly signal: AbortSignal;
    readonly progress: (line: string) => void;
  },
): Promise<LeaderRun> {
  const base: number[] = [];
  const viewed: number[] = [];
  const bytes: number[] = [];
  const memory: number[] = [];
  const leader = { pid: server.process.pid ?? 0 };
  /** Returns the CPU time of the leader in a window, in percent of a core. */
  const measureCpu = async (): Promise<number> => {
    const before = usageOf(leader).cpuSeconds;
    const startedAtMs = performance.now();
    await changeTasks(agents, { ...size, signal });
    return ((usageOf(leader).cpuSeconds - before) / (performance.now() - startedAtMs)) * 100_000;
  };
  for (let window = 0; window < size.windows; window += 1) {
    base.push(await measureCpu());
    const viewers = await openViewers(server, size.viewers);
    try {
      await sleep(SNAPSHOT_MS, undefined, { signal });
      const before = viewers.receivedBytes();
      viewed.push(await measureCpu());
      bytes.push((viewers.receivedBytes() - before) / size.viewers / (size.windowMs / 1_000));
    } finally {
      viewers.close();
    }
    memory.push(usageOf(leader).rssBytes / MIB);
    const [baseCpu, viewedCpu, memoryMib] = [base, viewed, memory].map((values) => values.at(-1) ?? 0);
    progress(
      `leader: ${baseCpu?.toFixed(1)} % of a core, with ${size.viewers} viewers ${viewedCpu?.toFixed(1)} %, ${memoryMib?.toFixed(0)} MiB`,
    );
    if (window + 1 < size.windows) await sleep(LINGER_MS, undefined, { signal });
  }
  return {
    baseCpuPercent: median(base),
    viewersCpuPercent: median(viewed) - median(base),
    bytesPerViewerPerSecond: median(bytes),
    leaderGrowthMib: (memory.at(-1) ?? 0) - (memory[0] ?? 0),
  };
}

/** Lets the agents report changes for the duration of a window. */
async function changeTasks(
  agents: readonly SimHost[],
  {
    changesPerSecond,
    windowMs,
    signal,
  }: Pick<LeaderSize, "changesPerSecond" | "windowMs"> & { readonly signal: AbortSignal },
): Promise<void> {
  const startedAtMs = performance.now();
  let reported = 0;
  let next = 0;
  while (performance.now() - startedAtMs < windowMs) {
    const due = ((performance.now() - startedAtMs) * changesPerSecond) / 1_000;
    for (let tries = 0; reported < due && tries < agents.length; tries += 1) {
      reported += agents[next % agents.length]?.agent.reportChanges(1) ?? 0;
      next += 1;
    }
    await sleep(TICK_MS, undefined, { signal });
  }
}

interface Viewers {
  /** Returns the compressed bytes of all events that the viewers have received, without those of TLS. */
  receivedBytes(): number;
  close(): void;
}

/** Logs in to the web UI of the leader, and opens a stream for each tab. */
async function openViewers(server: ServerProcess, count: number): Promise<Viewers> {
  const client = createRpcClient(ControlServiceService, { socket: server.socket });
  const ended = new AbortController();
  let bytes = 0;
  try {
    const { code, urls } = await client.calls.createLogin({ readOnly: true });
    const browser = new WebClient(urls[0] ?? "");
    await browser.login(code);
    for (let index = 0; index < count; index += 1) {
      void countBytes(browser, ended.signal, (received) => {
        bytes += received;
      });
    }
  } finally {
    client.close();
  }
  return { receivedBytes: () => bytes, close: () => ended.abort() };
}

async function countBytes(
  browser: WebClient,
  signal: AbortSignal,
  onReceived: (bytes: number) => void,
): Promise<void> {
  const request = encodeURIComponent(JSON.stringify({ pastEvents: 100, hasTraffic: true }));
  for await (const size of browser.streamSizes(`/api/WatchCluster?request=${request}`, signal))
    onReceived(size);
}
