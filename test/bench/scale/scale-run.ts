import { setTimeout as sleep } from "node:timers/promises";
import {
  ControlServiceService,
  DeployStackRequest,
  NodeState,
  PortSpec_Mode,
  PortSpec_Protocol,
  ServiceSpec,
} from "@berth/proto";
import { createRpcClient } from "@berth/proto/rpc";
import { startTestEtcd, type TestEtcd } from "../../harness/etcd.js";
import { type ServerProcess, startServerProcess } from "../../harness/server-process.js";
import { TestIdentities } from "../../harness/test-identities.js";
import { usageOf } from "../process-usage.js";
import type { BenchContext } from "../run-bench.js";
import { AgentCounters } from "./agent-counters.js";
import { type AdmittedNode, admitNodes, buildServices, type SimHost, startAgents } from "./sim-hosts.js";

export interface ScaleSize {
  readonly nodes: number;
  readonly services: number;
  readonly replicas: number;
  /** Time from the assignment until a simulated host reports a task as running. */
  readonly startMs: number;
  readonly settleMs: number;
  readonly idleWindowMs: number;
}

export interface ScaleRun {
  readonly tasks: number;
  /** Time from the deploy call until the last agent has received its last task. All tasks are in etcd by then. */
  readonly assignedMs: number;
  /** CPU time used in that period. */
  readonly assignCpu: CpuUse;
  /** Time from the deploy call until etcd has the last report of a running task. */
  readonly runningMs: number;
  /** Time from the call that scales down a published service until agents are instructed to stop its surplus tasks. */
  readonly drainMs: number;
  readonly serverMb: number;
  readonly idleCpuPercent: number;
  /** Time from the death of a host until its node is down. */
  readonly nodeDetectedMs: number;
  /** Time from when the node is down until other agents have its tasks. */
  readonly nodeLossMs: number;
  /** Time from `kill -9` of the leader until the next leader, which has loaded all records, welcomes an agent. */
  readonly takeoverMs: number;
  /** Time from `kill -9` of the leader until all agents have their complete sets of assignments. */
  readonly agentsBackMs: number;
}

/** CPU time in seconds. */
export interface CpuUse {
  readonly server: number;
  readonly etcd: number;
  /** CPU time of this process, which contains all agents. */
  readonly agents: number;
}

const PHASE_TIMEOUT_MS = 180_000;
const DEPLOY_TIMEOUT_MS = 60_000;
const POLL_MS = 20;
const PUBLISHED = "edge_web";
const PUBLISHED_REPLICAS = 10;

type Calls = ReturnType<typeof createRpcClient<typeof ControlServiceService>>["calls"];

/** Runs all phases with new servers and a new etcd. Stops them afterwards. */
export async function scaleRun(size: ScaleSize, context: BenchContext): Promise<ScaleRun> {
  const etcd = await startTestEtcd({ fsync: true });
  const identities = await TestIdentities.create();
  const servers: ServerProcess[] = [];
  const hosts = new AbortController();
  try {
    for (let count = 0; count < 2; count += 1) {
      const dataDir = identities.createDataDir();
      servers.push(await startServerProcess(["--etcd", etcd.endpoint, "--data-dir", dataDir]));
    }
    const nodes = await admitNodes(size.nodes, { identities, etcd, signal: context.signal });
    return await measurePhases(size, { servers, nodes, etcd, hosts: hosts.signal }, context);
  } finally {
    hosts.abort();
    for (const server of servers) await server.kill();
    await etcd.close();
    identities.close();
  }
}

interface ScaleCluster {
  readonly servers: readonly ServerProcess[];
  readonly nodes: readonly AdmittedNode[];
  readonly etcd: TestEtcd;
  /** Stops all agents when aborted. */
  readonly hosts: AbortSignal;
}

async function measurePhases(
  size: ScaleSize,
  { servers, nodes, etcd, hosts }: ScaleCluster,
  { signal, progress }: BenchContext,
): Promise<ScaleRun> {
  const counters = new AgentCounters();
  const wait = { timeoutMs: PHASE_TIMEOUT_MS, signal };
  const tasks = size.services * size.replicas;
  const addresses = servers.map(({ address }) => address);
  const agents = startAgents({ startMs: size.startMs, addresses, nodes, counters, hosts });
  await counters.waitUntil(
    "all agents have their complete set",
    () => countCompleteSets(counters) >= size.nodes,
    wait,
  );
  progress(`${size.nodes} agents are connected`);

  const client = createRpcClient(ControlServiceService, { socket: firstServer(servers).socket });
  try {
    const leader = await findLeader(client.calls, servers);
    const cpu = cpuMeter(leader, etcd);
    const deployedAt = performance.now();
    await client.calls.deployStack(
      DeployStackRequest.fromPartial({ stack: "scale", services: buildServices(size) }),
      { timeoutMs: DEPLOY_TIMEOUT_MS, signal },
    );
    const assignedAt = await counters.waitUntil(
      "all tasks are assigned",
      () => counters.assigned >= tasks,
      wait,
    );
    const assignCpu = cpu();
    const { server: serverS, etcd: etcdS, agents: agentsS } = assignCpu;
    const cpuUse = `CPU time: server ${serverS.toFixed(1)} s, etcd ${etcdS.toFixed(1)} s, agents ${agentsS.toFixed(1)} s`;
    progress(`${tasks} tasks assigned in ${((assignedAt - deployedAt) / 1_000).toFixed(1)} s; ${cpuUse}`);
    await deployPublished(client.calls, signal);
    const runningAt = await counters.waitUntil("all tasks run", () => counters.stored >= tasks, wait);
    progress(`stored as running after ${((runningAt - deployedAt) / 1_000).toFixed(1)} s`);
    await counters.waitUntil(
      "the published tasks run",
      () => counters.stored >= tasks + PUBLISHED_REPLICAS,
      wait,
    );
    const idle = await measureIdle(leader, size, signal);
    const drainMs = await drainPublished({ calls: client.calls, counters, signal });
    progress(`agents were instructed to stop connected tasks after ${drainMs.toFixed(0)} ms`);
    const loss = await loseNode(agents, { calls: client.calls, counters, signal });
    progress(
      `other hosts had the tasks of the lost host ${loss.nodeLossMs.toFixed(0)} ms after its node was down`,
    );
    const takeover = await loseLeader(leader, { counters, agents: size.nodes - 1, signal });
    progress(`the next leader welcomed the first agent after ${takeover.takeoverMs.toFixed(0)} ms`);
    return {
      tasks,
      assignedMs: assignedAt - deployedAt,
      assignCpu,
      runningMs: runningAt - deployedAt,
      drainMs,
      ...idle,
      ...loss,
      ...takeover,
    };
  } finally {
    client.close();
  }
}

/** Deploys one published service. More would only measure the size of the tables. */
async function deployPublished(calls: Calls, signal: AbortSignal): Promise<void> {
  const spec = ServiceSpec.fromPartial({
    name: PUBLISHED,
    stack: "edge",
    task: { container: { image: "web:1" } },
    ports: [{ protocol: PortSpec_Protocol.TCP, mode: PortSpec_Mode.INGRESS, published: 8_080, target: 80 }],
  });
  const mode = { $case: "replicated", value: { replicas: PUBLISHED_REPLICAS } } as const;
  const request = DeployStackRequest.fromPartial({ stack: "edge", services: [{ ...spec, mode }] });
  await calls.deployStack(request, { timeoutMs: DEPLOY_TIMEOUT_MS, signal });
}

/** Halves the published service and returns the time until agents are instructed to stop the surplus tasks. */
async function drainPublished({
  calls,
  counters,
  signal,
}: {
  readonly calls: Calls;
  readonly counters: AgentCounters;
  readonly signal: AbortSignal;
}): Promise<number> {
  const before = counters.stopped;
  const replicas = PUBLISHED_REPLICAS / 2;
  const calledAt = performance.now();
  await calls.scaleServices({ services: [{ service: PUBLISHED, replicas }] }, { signal });
  const isStopping = (): boolean => counters.stopped >= before + PUBLISHED_REPLICAS - replicas;
  const wait = { timeoutMs: PHASE_TIMEOUT_MS, signal };
  return (await counters.waitUntil("surplus tasks are being stopped", isStopping, wait)) - calledAt;
}

/** Starts a measurement. Returns a function that returns the CPU time used since. */
function cpuMeter(leader: ServerProcess, etcd: TestEtcd): () => CpuUse {
  const used = (): CpuUse => ({
    server: readCpuSeconds(leader.process.pid),
    etcd: readCpuSeconds(etcd.pid),
    agents: readCpuSeconds(process.pid),
  });
  const before = used();
  return () => {
    const after = used();
    return {
      server: after.server - before.server,
      etcd: after.etcd - before.etcd,
      agents: after.agents - before.agents,
    };
  };
}

const readCpuSeconds = (pid = 0): number => usageOf({ pid }).cpuSeconds;

async function measureIdle(
  { process }: ServerProcess,
  { settleMs, idleWindowMs }: ScaleSize,
  signal: AbortSignal,
): Promise<{ readonly serverMb: number; readonly idleCpuPercent: number }> {
  const ref = { pid: process.pid ?? 0, startTime: "" };
  await sleep(settleMs, undefined, { signal });
  const before = usageOf(ref);
  await sleep(idleWindowMs, undefined, { signal });
  const after = usageOf(ref);
  return {
    serverMb: after.rssBytes / 1e6,
    idleCpuPercent: ((after.cpuSeconds - before.cpuSeconds) / (idleWindowMs / 1_000)) * 100,
  };
}

/** Stops the first host abruptly. */
async function loseNode(
  [host]: readonly SimHost[],
  {
    calls,
    counters,
    signal,
  }: { readonly calls: Calls; readonly counters: AgentCounters; readonly signal: AbortSignal },
): Promise<{ readonly nodeDetectedMs: number; readonly nodeLossMs: number }> {
  if (host === undefined) throw new Error("there are no agents");
  const { tasks } = await calls.listTasks({ node: host.nodeId, service: "", stack: "" });
  const before = counters.assigned;
  const lostAt = Date.now();
  host.power.abort();
  const offsetMs = Date.now() - performance.now();
  const replacedAt = await counters.waitUntil(
    "the lost tasks are assigned",
    () => counters.assigned >= before + tasks.length,
    {
      timeoutMs: PHASE_TIMEOUT_MS,
      signal,
    },
  );
  for (;;) {
    const { node } = await calls.getNode({ node: host.nodeId });
    const record = node?.node;
    if (record?.state === NodeState.DOWN) {
      const downAt = record.stateSinceMs;
      return { nodeDetectedMs: downAt - lostAt, nodeLossMs: replacedAt + offsetMs - downAt };
    }
    await sleep(POLL_MS, undefined, { signal });
  }
}

async function loseLeader(
  leader: ServerProcess,
  {
    counters,
    agents,
    signal,
  }: { readonly counters: AgentCounters; readonly agents: number; readonly signal: AbortSignal },
): Promise<{ readonly takeoverMs: number; readonly agentsBackMs: number }> {
  const before = counters.epoch;
  const killedAt = performance.now();
  await leader.kill();
  const wait = { timeoutMs: PHASE_TIMEOUT_MS, signal };
  const backAt = await counters.waitUntil(
    "all agents are connected to the next leader",
    () => counters.epoch > before && countCompleteSets(counters) >= agents,
    wait,
  );
  const welcomedAt = counters.firstWelcomeMs.get(counters.epoch) ?? backAt;
  return { takeoverMs: welcomedAt - killedAt, agentsBackMs: backAt - killedAt };
}

const countCompleteSets = (counters: AgentCounters): number => counters.setsByEpoch.get(counters.epoch) ?? 0;

function firstServer([first]: readonly ServerProcess[]): ServerProcess {
  if (first === undefined) throw new Error("no server is running");
  return first;
}

async function findLeader(calls: Calls, servers: readonly ServerProcess[]): Promise<ServerProcess> {
  const { leaderAddress } = await calls.getCluster({});
  const leader = servers.find(({ address }) => address === leaderAddress);
  if (leader === undefined) throw new Error(`the leader ${leaderAddress} is not a server of this run`);
  return leader;
}
