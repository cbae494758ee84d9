import { setTimeout as delay } from "node:timers/promises";
import {
  ControlServiceService,
  DeployStackRequest,
  EndpointMode,
  type FileMount,
  type NetworkAttachment,
  PortSpec,
  ServiceSpec,
  type ServiceSummary,
  type Task,
  TaskState,
} from "@berth/proto";
import type { Probe } from "@berth/proto/probe";
import { createRpcClient, type RpcClient, type RpcIdentity } from "@berth/proto/rpc";
import { pino } from "pino";
import { systemRuntime } from "../../packages/control-plane/src/runtime/runtime.js";
import type { LeaderSettings } from "../../packages/control-plane/src/server/leader-options.js";
import { startServer } from "../../packages/control-plane/src/server/server.js";
import type { ServerOptions } from "../../packages/control-plane/src/server/server-options.js";
import { systemPlatform } from "../../packages/control-plane/src/server/server-platform.js";
import { EtcdStore } from "../../packages/control-plane/src/store/etcd/etcd-store.js";
import { ROOT } from "../../packages/control-plane/src/store/keys.js";
import { readAll } from "../../packages/control-plane/src/store/read.js";
import type { Store } from "../../packages/control-plane/src/store/store.js";
import { eventually } from "./eventually.js";
import { FakeAgent, type FakeAgentOptions } from "./fake-agent/fake-agent.js";
import { type ServerProcess, startServerProcess } from "./server-process.js";
import { admitNode, TestIdentities } from "./test-identities.js";

/** Matches the keys of records, but not those of leases and of the schema version. */
const RECORDS = /\/(nodes|services|names|revisions|tasks|networks|ranges|vips|policies|files)\//;

const ADMISSION_TIMEOUT_MS = 10_000;

export interface TestServer {
  readonly address: string;
  /** Path of the server's Unix socket. */
  readonly socket: string;
  readonly httpAddress: string;
  /** URL of its page. Empty when it has none. */
  readonly webUrl: string;
  /** API client that is root on the socket. */
  readonly calls: RpcClient<typeof ControlServiceService>;
  /** Stops the server like SIGTERM: a leader resigns first. */
  stop(): Promise<void>;
}

/** The servers and fake agents of one test. `close` stops all of them. */
export class TestCluster {
  readonly #endpoint: string;
  readonly #cleanUps: (() => Promise<void> | void)[] = [];
  /** All servers that were started, including stopped ones. */
  readonly servers: TestServer[] = [];
  readonly #running = new Set<TestServer>();
  readonly agents: FakeAgent[] = [];
  /** Probes a fake host. If the host is down, the probe takes as long as all tries, like a real one. */
  readonly #probe: Probe = async ({ address, tries, tryMs }) => {
    const isUp = this.agents.some((agent) => agent.address === address && agent.isHostUp);
    if (!isUp) await delay(tries * tryMs);
    return isUp;
  };

  #identities: Promise<TestIdentities> | undefined;
  #admitting: EtcdStore | undefined;

  constructor(etcdEndpoint: string) {
    this.#endpoint = etcdEndpoint;
  }

  /** The identities of the cluster. */
  get identities(): Promise<TestIdentities> {
    this.#identities ??= TestIdentities.create();
    return this.#identities;
  }

  /** Starts `berth server` in a separate process. */
  async startProcess(): Promise<ServerProcess> {
    const dataDir = (await this.identities).createDataDir();
    const server = await startServerProcess(["--etcd", this.#endpoint, "--data-dir", dataDir]);
    this.#cleanUps.push(() => server.kill());
    return server;
  }

  /** Adds a node and returns its identity once the leader knows the node. */
  async admit(nodeId: string): Promise<RpcIdentity> {
    await this.#storeNode(nodeId);
    return (await this.identities).nodeIdentity(nodeId);
  }

  /** Adds a node and stores its identity, issued at `issuedMs`, in an agent's data directory. */
  async admitAgent(nodeId: string, dataDir: string, issuedMs = Date.now()): Promise<void> {
    await this.#storeNode(nodeId);
    await (await this.identities).storeNode(nodeId, dataDir, issuedMs);
  }

  /** Starts a server in this process, with its own etcd connection. */
  async startServer(
    wrap: (store: Store) => Store = (store) => store,
    settings: Pick<LeaderSettings, "autoRebalanceMs" | "floodLimit" | "schema"> &
      Partial<Pick<ServerOptions, "web" | "runtime">> = {},
  ): Promise<TestServer> {
    const etcd = new EtcdStore({ endpoints: [this.#endpoint], callTimeoutMs: 1_500 });
    const identities = await this.identities;
    const identity = await identities.createServer();
    const socket = identities.socketPath();
    const stopping = new AbortController();
    const logger = pino({ level: process.env.BERTH_TEST_LOG ?? "silent" });
    const running = await startServer(
      {
        runtime: systemRuntime,
        ...settings,
        store: wrap(etcd),
        identity,
        logger,
        socket,
        listen: "127.0.0.1:0",
        http: "127.0.0.1:0",
        advertise: undefined,
        platform: { ...systemPlatform(identity.rpc), probe: this.#probe },
      },
      stopping.signal,
    );
    const client = createRpcClient(ControlServiceService, { socket });
    let isStopped = false;
    const stop = async (): Promise<void> => {
      if (isStopped) return;
      isStopped = true;
      this.#running.delete(server);
      client.close();
      stopping.abort();
      await running.stopped;
      etcd.close();
    };
    this.#cleanUps.push(stop);
    const { address, httpAddress, webUrl = "" } = running;
    const server: TestServer = { address, socket, httpAddress, webUrl, calls: client.calls, stop };
    this.servers.push(server);
    this.#running.add(server);
    return server;
  }

  /** Starts agents and waits until they have received their assignments. */
  async startAgents(
    nodeIds: readonly string[],
    options: Partial<FakeAgentOptions> = {},
  ): Promise<FakeAgent[]> {
    const agents = nodeIds.map((nodeId) => this.startAgent(nodeId, options));
    for (const agent of agents) {
      await eventually("the agent has its assignments", () => agent.completeSets > 0);
    }
    return agents;
  }

  startAgent(nodeId: string, options: Partial<FakeAgentOptions> = {}): FakeAgent {
    const servers = this.servers.map(({ address }) => address);
    const identity = (): Promise<RpcIdentity> => this.admit(nodeId);
    const agent = new FakeAgent({ nodeId, servers, identity, probe: this.#probe, ...options }).start();
    this.#cleanUps.push(() => agent.loseHost());
    this.agents.push(agent);
    return agent;
  }

  /** Connects to the store, for tests that read or edit records directly. */
  openStore(): { readonly store: Store; keys(): Promise<readonly string[]> } {
    const store = new EtcdStore({ endpoints: [this.#endpoint] });
    this.#cleanUps.push(() => store.close());
    const keys = async (): Promise<readonly string[]> => {
      const { entries } = await readAll(store, { prefix: ROOT }, AbortSignal.timeout(30_000));
      return entries.map(({ key }) => key).filter((key) => RECORDS.test(key));
    };
    return { store, keys };
  }

  /** Stores a node's record and waits until the leader knows the node. */
  async #storeNode(nodeId: string): Promise<void> {
    this.#admitting ??= new EtcdStore({ endpoints: [this.#endpoint] });
    await admitNode(this.#admitting, nodeId, AbortSignal.timeout(ADMISSION_TIMEOUT_MS));
    const [server] = this.#running;
    if (server === undefined) return;
    await eventually(`the leader knows node ${nodeId}`, async () => {
      const { nodes } = await server.calls.listNodes({});
      return nodes.some(({ node }) => node?.id === nodeId);
    });
  }

  /** Stops all agents and servers. Returns the protocol violations that the agents observed. */
  async close(): Promise<readonly string[]> {
    for (const cleanUp of this.#cleanUps.splice(0).reverse()) await cleanUp();
    this.#admitting?.close();
    (await this.#identities)?.close();
    return this.agents.flatMap(({ violations }) => violations);
  }
}

export interface ServiceOptions {
  readonly stack?: string;
  readonly replicas?: number;
  readonly image?: string;
  readonly ports?: readonly Partial<PortSpec>[];
  readonly constraints?: readonly string[];
  readonly memoryBytes?: number;
  readonly global?: boolean;
  readonly networks?: readonly Partial<NetworkAttachment>[];
  readonly endpointMode?: EndpointMode;
  readonly files?: readonly Partial<FileMount>[];
}

export function service(name: string, options: ServiceOptions = {}): ServiceSpec {
  const {
    stack = "shop",
    replicas = 1,
    image = "web:1",
    ports = [],
    constraints = [],
    memoryBytes = 0,
    networks = [],
    endpointMode = EndpointMode.UNSPECIFIED,
    files = [],
  } = options;
  const mode: ServiceSpec["mode"] = options.global
    ? { $case: "global", value: {} }
    : { $case: "replicated", value: { replicas } };
  const spec = ServiceSpec.fromPartial({
    name: `${stack}_${name}`,
    stack,
    task: { container: { image, files: [...files] }, reservations: { memoryBytes }, networks: [...networks] },
    endpointMode,
    placement: { constraints: [...constraints] },
    ports: ports.map((port) => PortSpec.fromPartial(port)),
  });
  return { ...spec, mode };
}

export function deployment(
  services: ServiceSpec[],
  options: Partial<DeployStackRequest> = {},
): DeployStackRequest {
  return { ...DeployStackRequest.fromPartial({ stack: "shop" }), services, ...options };
}

/** Waits until a service has converged and returns it. */
export async function converged(
  calls: TestServer["calls"],
  name: string,
  timeoutMs?: number,
): Promise<ServiceSummary> {
  return eventually(
    `${name} converges`,
    async () => {
      const { service: summary } = await calls.getService({ service: name });
      return summary?.converged === true && summary;
    },
    timeoutMs,
  );
}

export async function runningTasks(calls: TestServer["calls"], name: string): Promise<readonly Task[]> {
  const { tasks } = await calls.listTasks({ service: name, stack: "", node: "" });
  return tasks.filter(({ status }) => status?.state === TaskState.RUNNING);
}
