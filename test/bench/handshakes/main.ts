// `npm run bench -- handshakes`: measures how many TLS connections a server accepts per second, and their CPU time.
// Clients present cluster certificates, as agents do when they reconnect after a leader has died. The peer is a bare
// TLS server in Node.js.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { connect, type TLSSocket } from "node:tls";
import { fileURLToPath } from "node:url";
import type { TlsMaterial } from "@berth/proto/rpc";
import { startTestEtcd } from "../../harness/etcd.js";
import { TestCluster } from "../../harness/test-cluster.js";
import { usageOf } from "../process-usage.js";
import { type Figure, figureOf, median } from "../report.js";
import { type BenchContext, runBench } from "../run-bench.js";

const BARE_SERVER = fileURLToPath(new URL("./bare-server.mjs", import.meta.url));
/** Number of concurrent handshakes. More do not increase the rate, because both sides are limited by CPU time. */
const CONCURRENCY = 32;
const TIMEOUT_MS = 10_000;

interface Size {
  readonly warmUp: number;
  readonly connections: number;
}

const FULL: Size = { warmUp: 500, connections: 3_000 };
const SMOKE: Size = { warmUp: 4, connections: 20 };

async function measure({ runs, isSmoke, signal, progress }: BenchContext): Promise<readonly Figure[]> {
  const size = isSmoke ? SMOKE : FULL;
  const etcd = await startTestEtcd();
  const cluster = new TestCluster(etcd.endpoint);
  let bare: ChildProcess | undefined;
  try {
    const server = await cluster.startProcess();
    const identities = await cluster.identities;
    const { current: client } = await identities.nodeIdentity("client");
    const { rpc } = await identities.createServer();
    bare = spawn(process.execPath, [BARE_SERVER], { stdio: ["pipe", "pipe", "inherit"] });
    bare.stdin?.write(`${JSON.stringify(rpc.current)}\n`);
    const port = await readLine(bare);
    const results: Result[] = [];
    const floors: Result[] = [];
    for (let run = 1; run <= runs; run += 1) {
      progress(`run ${run} of ${runs}`);
      floors.push(await measureServer(bare, `127.0.0.1:${port}`, client, size));
      results.push(await measureServer(server.process, server.address, client, size));
      signal.throwIfAborted();
    }
    const ofServer = (name: keyof Result): readonly number[] => results.map((result) => result[name]);
    const ofBare = (name: keyof Result): readonly number[] => floors.map((floor) => floor[name]);
    const figure = (name: keyof Result, unit: string): Omit<Figure, "name" | "value"> => ({
      unit,
      runs: ofServer(name),
      peer: { "bare TLS server": median(ofBare(name)) },
    });
    const bareCpuMs = ofBare("cpuMs");
    return [
      figureOf({ name: "handshakes.per_s", ...figure("perSecond", "/s") }),
      figureOf({ name: "handshakes.cpu_ms", ...figure("cpuMs", "ms") }),
      figureOf({
        name: "handshakes.cpu_vs_bare",
        unit: "x",
        runs: ofServer("cpuMs").map((value, run) => value / (bareCpuMs[run] ?? 0)),
      }),
    ];
  } finally {
    bare?.kill("SIGKILL");
    await cluster.close();
    await etcd.close();
  }
}

interface Result {
  /** Connections accepted per second, with the clients on the same machine. */
  readonly perSecond: number;
  /** CPU time of the server per connection. */
  readonly cpuMs: number;
}

async function measureServer(
  { pid = 0 }: ChildProcess,
  address: string,
  client: TlsMaterial,
  { warmUp, connections }: Size,
): Promise<Result> {
  await openAll(address, client, warmUp);
  const before = usageOf({ pid }).cpuSeconds;
  const startedMs = performance.now();
  await openAll(address, client, connections);
  const seconds = (performance.now() - startedMs) / 1_000;
  const cpuSeconds = usageOf({ pid }).cpuSeconds - before;
  return { perSecond: connections / seconds, cpuMs: (cpuSeconds * 1_000) / connections };
}

async function openAll(address: string, client: TlsMaterial, connections: number): Promise<void> {
  let remaining = connections;
  const worker = async (): Promise<void> => {
    while (remaining-- > 0) await openOne(address, client);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}

/**
 * Opens a connection and closes it once the server has sent its first bytes. In TLS 1.3, the client finishes its
 * handshake before the server has verified the client's certificate.
 */
async function openOne(address: string, { authorities, leaf }: TlsMaterial): Promise<void> {
  const [host, port] = address.split(":");
  const socket: TLSSocket = connect({
    host,
    port: Number(port),
    ca: authorities,
    ...(leaf && { cert: leaf.certificate, key: leaf.key }),
    minVersion: "TLSv1.3",
    ALPNProtocols: ["h2"],
    servername: "berth.invalid",
    checkServerIdentity: () => undefined,
  });
  try {
    await once(socket, "data", { signal: AbortSignal.timeout(TIMEOUT_MS) });
  } finally {
    socket.destroy();
  }
}

async function readLine(program: ChildProcess): Promise<string> {
  if (program.stdout === null) throw new Error("the program has no output");
  for await (const line of createInterface({ input: program.stdout })) return line;
  throw new Error("the program ended without output");
}

process.exitCode = await runBench(
  { name: "handshakes", programs: { etcd: ["etcd", "--version"] }, measure },
  process.argv.slice(2),
);
