import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { ControlServiceService, UserRole } from "@berth/proto";
import { IdentityDirectory } from "@berth/proto/identity";
import {
  createRpcClient,
  joinCluster,
  RotatingIdentity,
  type RpcConnection,
  type RpcIdentity,
  tlsMaterialOf,
} from "@berth/proto/rpc";
import { expect } from "vitest";
import { ROOT } from "../../packages/control-plane/src/store/keys.js";
import { readAll } from "../../packages/control-plane/src/store/read.js";
import type { Store } from "../../packages/control-plane/src/store/store.js";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";
import { etcdctl } from "../harness/etcdctl.js";
import { eventually } from "../harness/eventually.js";
import { RawSession, type RawSessionOptions } from "../harness/raw-session.js";
import type { ServerProcess } from "../harness/server-process.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { TestCluster } from "../harness/test-cluster.js";
import { admitNode } from "../harness/test-identities.js";

/** Acknowledgements that one measurement waits for. */
export const ACKS = 20;
/**
 * Longest wait of another node or user, and longest delay of the leader's event loop. The goals are 1 s and 100 ms on an
 * idle machine. A busy one delays every process by more than that. The lease of the leader lasts 3 s.
 */
const MAX_ACK_MS = 2_000;
const MAX_LAG_MS = 2_000;
/** How much slower the leader may be on a machine that is busy anyway. */
const SLOWDOWN = 5;
/** Far above what the leader needs, and far below what the messages of these tests have in total. */
const MAX_GROWTH_BYTES = 300 * 1024 * 1024;
/** Few enough for each of the writes to end within the store's timeout on a busy machine. */
const CONCURRENT_WRITES = 30;

interface Figures {
  readonly residentBytes: number;
  /** Longest time of a call that the leader answers without etcd. */
  readonly callMs: number;
  /** Longest time until the other node's status was acknowledged. */
  readonly ackMs: number;
  /** Longest delay of the leader's event loop. */
  readonly lagMs: number;
}

/** A leader in a process of its own with an honest node, to measure what faulty nodes and clients cost. */
export class LeaderRig {
  readonly #directory = temporaryDirectory();
  readonly #etcd: TestEtcd;
  readonly #store: Store;
  readonly cluster: TestCluster;
  readonly server: ServerProcess;
  /** Calls of root. */
  readonly control: RpcConnection<typeof ControlServiceService>;
  /** A node that behaves, and has a task of each global service. */
  readonly honest: RawSession;

  private constructor(
    parts: Pick<LeaderRig, "cluster" | "server" | "control" | "honest"> & { readonly etcd: TestEtcd },
  ) {
    this.#etcd = parts.etcd;
    this.#store = parts.cluster.openStore().store;
    this.cluster = parts.cluster;
    this.server = parts.server;
    this.control = parts.control;
    this.honest = parts.honest;
  }

  static async start(): Promise<LeaderRig> {
    const etcd = await startTestEtcd();
    const cluster = new TestCluster(etcd.endpoint);
    const server = await cluster.startProcess();
    const control = createRpcClient(ControlServiceService, { socket: server.socket });
    await eventually("the server leads", async () => (await control.calls.getCluster({})).epoch > 0);
    const identity = await cluster.admit("honest");
    const options = { serverAddress: server.address, nodeId: "honest", identity, hostAddress: "127.1.0.1" };
    return new LeaderRig({ etcd, cluster, server, control, honest: new RawSession(options) });
  }

  /** Opens a session of a node that may be faulty. */
  async open(
    nodeId: string,
    hostAddress: string,
    onMessage?: RawSessionOptions["onMessage"],
  ): Promise<RawSession> {
    const identity = await this.cluster.admit(nodeId);
    return new RawSession({ serverAddress: this.server.address, nodeId, identity, hostAddress, onMessage });
  }

  /** Invites a user who joins the cluster. */
  async joinUser(name: string, role = UserRole.ADMIN): Promise<RpcIdentity> {
    const user = { name, role, stacks: "", ttlMs: 60_000 };
    const { invitation: token } = await this.control.calls.inviteUser(user);
    const directory = await IdentityDirectory.open(join(this.#directory, name));
    const options = { address: this.server.address, token, hostname: name, directory };
    const { files } = await joinCluster(options, AbortSignal.timeout(30_000));
    return new RotatingIdentity(tlsMaterialOf(files));
  }

  /** Connects as a new user. */
  async connectUser(name: string): Promise<RpcConnection<typeof ControlServiceService>> {
    const identity = await this.joinUser(name);
    return createRpcClient(ControlServiceService, { address: this.server.address, identity });
  }

  /**
   * Measures before, during and after a disturbance, which runs before each acknowledgement. Expects that memory stays
   * bounded and that the leader keeps its term. `BERTH_PRINT_FIGURES=1` prints the figures.
   */
  async compare(title: string, disturb: () => Promise<void>): Promise<void> {
    const { epoch } = await this.control.calls.getCluster({});
    await this.#measure();
    const before = await this.#measure();
    const during = await this.#measure(disturb);
    const after = await this.#measure();
    for (const [phase, figures] of Object.entries({ before, during, after }))
      this.print(`${title}, ${phase}: ${formatFigures(figures)}`);
    expect(after.residentBytes).toBeLessThan(before.residentBytes + MAX_GROWTH_BYTES);
    expect(during.residentBytes).toBeLessThan(before.residentBytes + MAX_GROWTH_BYTES);
    expect(during.ackMs).toBeLessThan(Math.max(MAX_ACK_MS, SLOWDOWN * before.ackMs));
    expect(during.callMs).toBeLessThan(Math.max(MAX_ACK_MS, SLOWDOWN * before.callMs));
    expect(during.lagMs).toBeLessThan(Math.max(MAX_LAG_MS, SLOWDOWN * before.lagMs));
    expect((await this.control.calls.getCluster({})).epoch).toBe(epoch);
  }

  /** Stores the records of nodes that have joined and wait for approval. */
  async storeWaitingNodes(count: number): Promise<void> {
    const signal = AbortSignal.timeout(30_000);
    const ids = Array.from({ length: count }, (_, index) => `waiting-${index}`);
    for (let start = 0; start < ids.length; start += CONCURRENT_WRITES) {
      const some = ids.slice(start, start + CONCURRENT_WRITES);
      await Promise.all(some.map((id) => admitNode(this.#store, id, signal, { awaitsApproval: true })));
    }
    await eventually("the leader knows the nodes", async () => {
      const { nodes } = await this.control.calls.listNodes({});
      return nodes.filter(({ node }) => node?.awaitsApproval).length >= count;
    });
  }

  /** Prints a figure if the environment asks for it. */
  print(text: string): void {
    if (process.env.BERTH_PRINT_FIGURES === "1") console.log(text);
  }

  /** Returns the size of etcd's database, with earlier revisions. */
  etcdBytes(): number {
    const output = etcdctl({ endpoint: this.#etcd.endpoint }, "endpoint", "status", "-w", "json");
    const [{ Status }] = JSON.parse(output) as [{ readonly Status: { readonly dbSize: number } }];
    return Status.dbSize;
  }

  /** Returns the keys of all records in etcd. */
  async keys(): Promise<readonly string[]> {
    const { entries } = await readAll(this.#store, { prefix: ROOT }, AbortSignal.timeout(30_000));
    return entries.map(({ key }) => key);
  }

  async close(): Promise<void> {
    this.honest.close();
    this.control.close();
    await this.cluster.close();
    await this.#etcd.close();
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** Measures the leader while `disturb` runs before each acknowledgement. */
  async #measure(disturb: () => Promise<void> = async () => {}): Promise<Figures> {
    const [taskId = ""] = this.honest.taskIds;
    const acks: number[] = [];
    const calls: number[] = [];
    let residentBytes = 0;
    for (let round = 0; round < ACKS; round++) {
      await disturb();
      const startedMs = performance.now();
      const call = this.control.calls.getCluster({}).then(() => calls.push(performance.now() - startedMs));
      acks.push(await this.honest.measureAck(taskId));
      await call;
      residentBytes = Math.max(residentBytes, this.#readResidentBytes());
    }
    return {
      residentBytes,
      callMs: Math.max(...calls),
      ackMs: Math.max(...acks),
      lagMs: await this.#readLagMs(),
    };
  }

  /** Returns the longest delay of the leader's event loop in the last seconds, from its metrics. */
  async #readLagMs(): Promise<number> {
    const response = await fetch(`http://${this.server.httpAddress}/metrics`);
    const lagS = /^berth_event_loop_lag_seconds (\S+)$/m.exec(await response.text())?.[1];
    return Number(lagS) * 1_000;
  }

  #readResidentBytes(): number {
    const status = readFileSync(`/proc/${this.server.process.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1_024;
  }
}

function formatFigures({ residentBytes, callMs, ackMs, lagMs }: Figures): string {
  const mebibytes = (residentBytes / 2 ** 20).toFixed(0);
  return `${mebibytes} MiB, call ${callMs.toFixed(0)} ms, ack ${ackMs.toFixed(0)} ms, lag ${lagMs.toFixed(0)} ms`;
}
