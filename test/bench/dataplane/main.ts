// `npm run bench -- dataplane`: measures how long the ingress process takes to apply tables of 1,000 ports with 10
// endpoints each on the kernel path, how evenly the kernel balances connections, and how much memory open connections
// through the user-space proxy use.
import type {
  IngressEndpoint,
  IngressListener,
} from "../../../packages/agent/src/dataplane/table/ingress-table.js";
import { Cleanup, deadline } from "../../integration/ingress-harness.js";
import { countAnswers, startKernelIngress } from "../../integration/kernel/kernel-ingress.js";
import { ADDRESS, TestNetwork } from "../../integration/kernel/test-network.js";
import { residentBytes } from "../process-usage.js";
import { type Figure, figureOf, median } from "../report.js";
import { type BenchContext, runBench } from "../run-bench.js";
import { type HeldSize, measureHeld } from "./held-connections.js";

const SERVICES = 1_000;
const ENDPOINTS = 10;
const NODES = 3;
const FIRST_PORT = 10_000;
const CHANGES = 10;
const CONNECTIONS = 10_000;
const REPLICAS = 7;
const PUBLISHED = 8_080;
/**
 * Timeout of a connection. A client retransmits its SYN after 1, 2, 3, 4, 5, 7 and 11 s, and may be sent to the dead
 * replica each time.
 */
const TIMEOUT_MS = 15_000;

interface Size {
  readonly services: number;
  readonly connections: number;
  readonly held: HeldSize;
}

const FULL: Size = {
  services: SERVICES,
  connections: CONNECTIONS,
  held: { idle: 10_000, active: 1_000, rounds: 4 },
};
const SMOKE: Size = { services: 20, connections: 140, held: { idle: 100, active: 10, rounds: 2 } };

async function measure({ runs: count, isSmoke, signal, progress }: BenchContext): Promise<readonly Figure[]> {
  const size = isSmoke ? SMOKE : FULL;
  const cleanup = new Cleanup();
  const network = await TestNetwork.create();
  cleanup.add(() => network.dispose());
  try {
    const runs: LoadTimes[] = [];
    for (let run = 1; run <= count; run += 1) {
      progress(`tables, run ${run} of ${count}`);
      runs.push(await measureLoadTimes(network, size.services));
      signal.throwIfAborted();
    }
    progress("balance");
    const balance = await measureBalance(network, size.connections, cleanup);
    signal.throwIfAborted();
    progress("held connections");
    const held = await measureHeld(network, size.held);
    const of = (name: keyof LoadTimes): readonly number[] => runs.map((each) => each[name]);
    return [
      figure("ingress.load_1000x10_s", "s", of("loadS"), 0.5),
      figure("ingress.one_change_s", "s", of("changeS"), 0.06),
      figure("ingress.dead_host_s", "s", of("deadHostS"), 0.1),
      figure("ingress.host_back_s", "s", of("hostBackS")),
      figure("ingress.resident_1000x10_mb", "MB", of("residentMb")),
      figure("ingress.balance_max_min", "x", [balance.all], 1.02),
      figure("ingress.balance_one_dead_max_min", "x", [balance.oneDead], 1.02),
      figure("ingress.held_connections", "", [held.count]),
      figure("ingress.idle_connection_kb", "kB", held.idleKb, 30),
      figure("ingress.active_connection_kb", "kB", held.activeKb, 30),
      figure("ingress.held_leak_mb", "MB", [held.leakMb], 5),
      figure("ingress.held_leaked_files", "", [held.leakedFiles], 0),
    ];
  } finally {
    await cleanup.run();
  }
}

interface LoadTimes {
  readonly loadS: number;
  readonly changeS: number;
  readonly deadHostS: number;
  readonly hostBackS: number;
  readonly residentMb: number;
}

async function measureLoadTimes(network: TestNetwork, services: number): Promise<LoadTimes> {
  const cleanup = new Cleanup();
  try {
    const ingress = await startKernelIngress(network, cleanup);
    const listeners = Array.from({ length: services }, (_, service) => buildListener(service));
    // The first table after a start opens all ports and loads the rules in one transaction.
    const loadS = await measureSeconds(() => ingress.apply({ version: 2, listeners }, deadline()));
    const changes: number[] = [];
    let current = listeners;
    for (let change = 0; change < CHANGES; change += 1) {
      const changed = { ...buildListener(change), endpoints: buildListener(change).endpoints.slice(1) };
      current = current.map((each, index) => (index === change ? changed : each));
      const listenersNow = current;
      changes.push(
        await measureSeconds(() =>
          ingress.apply({ version: 3 + change, listeners: listenersNow }, deadline()),
        ),
      );
    }
    const deadHostS = await measureSeconds(() => ingress.setSuspectNodes(["n1"], deadline()));
    const lastPort = FIRST_PORT + services - 1;
    await waitUntilSettled(network, lastPort);
    const hostBackS = await measureSeconds(async () => {
      await ingress.setSuspectNodes([], deadline());
      await until(() => readChain(network, lastPort).includes(`mod ${ENDPOINTS} `));
    });
    const residentMb = residentBytes(ingress.process) / 1e6;
    return { loadS, changeS: median(changes), deadHostS, hostBackS, residentMb };
  } finally {
    await cleanup.run();
  }
}

async function measureBalance(
  network: TestNetwork,
  connections: number,
  cleanup: Cleanup,
): Promise<{ readonly all: number; readonly oneDead: number }> {
  const hosts = ["b", "c", "a"] as const;
  const endpoints = await Promise.all(
    Array.from({ length: REPLICAS }, async (_, index): Promise<IngressEndpoint> => {
      const host = hosts[index % hosts.length] ?? "b";
      const port = 9_001 + index;
      await network.startServer(host, port, "tcp", `r${index}`);
      const directRoute = { kind: "direct", address: ADDRESS.a, port, subnet: "" } as const;
      return {
        id: `r${index}`,
        node: host,
        address: ADDRESS[host],
        port,
        route: host === "a" ? directRoute : { kind: "forward" },
      };
    }),
  );
  const ingress = await startKernelIngress(network, cleanup);
  const apply = (version: number): Promise<unknown> =>
    ingress.apply({ version, listeners: [{ ...buildListener(0), port: PUBLISHED, endpoints }] }, deadline());
  const measureSpread = async (parallel: number): Promise<number> => {
    const options = { count: connections, parallel, timeoutMs: TIMEOUT_MS };
    const answers = await network.connectRepeatedly("client", ADDRESS.a, PUBLISHED, options);
    const byReplica = countAnswers(answers.map(({ text }) => ({ text: text.split(" ")[0] ?? "" })));
    if (Object.keys(byReplica).some((name) => !name.startsWith("r")))
      throw new Error(JSON.stringify(byReplica));
    const counts = Object.values(byReplica);
    return Math.max(...counts) / Math.min(...counts);
  };
  await apply(1);
  const all = await measureSpread(32);
  // The kernel does not know that this endpoint refuses connections. Each client discovers it by retransmitting its
  // SYN.
  await network.closeServer("b", 9_001);
  await apply(2);
  return { all, oneDead: await measureSpread(128) };
}

function buildListener(service: number): IngressListener {
  const endpoints = Array.from({ length: ENDPOINTS }, (_, slot): IngressEndpoint => {
    const node = (service + slot) % NODES;
    const port = 20_000 + service * ENDPOINTS + slot;
    return {
      id: `t${service}-${slot}`,
      node: `n${node}`,
      address: `10.77.1.${node + 1}`,
      port,
      route: { kind: "forward" },
    };
  });
  return {
    protocol: "tcp",
    address: "",
    port: FIRST_PORT + service,
    service: `s${service}`,
    endpoints,
    draining: [],
  };
}

/** Waits until the chains have been rewritten, which happens after the reply, in port order. */
function waitUntilSettled(network: TestNetwork, lastPort: number): Promise<void> {
  return until(() => !readChain(network, lastPort).includes(`mod ${ENDPOINTS} `));
}

function readChain(network: TestNetwork, port: number): string {
  return network.run("a", "nft", "list", "chain", "ip", "berth", `port-tcp-${port}`);
}

async function until(check: () => boolean): Promise<void> {
  while (!check()) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function measureSeconds(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return (performance.now() - startMs) / 1_000;
}

function figure(name: string, unit: string, runs: readonly number[], atMost?: number): Figure {
  const goal = atMost === undefined ? {} : { goal: { kind: "at-most", value: atMost } as const };
  return figureOf({ name, unit, ...goal, runs });
}

process.exitCode = await runBench(
  { name: "dataplane", programs: { nft: ["nft", "--version"] }, measure },
  process.argv.slice(2),
);
