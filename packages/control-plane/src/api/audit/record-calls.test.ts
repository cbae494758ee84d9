import {
  BerthError,
  type CreateNetworkRequest,
  DeployStackRequest,
  CreateNetworkRequest as Request,
  Service,
  StreamLogsRequest,
  User,
  UserRole,
} from "@berth/proto";
import type { CallContext } from "@berth/proto/rpc";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DEFAULT_NETWORK_POOL } from "../../core/allocator/address-pool.js";
import { Writer } from "../../reconciler/writer.js";
import { systemClock } from "../../runtime/clock.js";
import type { Runtime } from "../../runtime/runtime.js";
import { ClusterState } from "../../state/cluster-state.js";
import { LEADER_KEY } from "../../store/keys.js";
import type { Store, TxnRequest } from "../../store/store.js";
import { ManualClock } from "../../testing/manual-clock.js";
import { MemoryStore } from "../../testing/memory-store/memory-store.js";
import type { ApiContext } from "../api-context.js";
import { controlHandlers } from "../control-service.js";
import { AuditLog } from "./audit-log.js";

const logger = pino({ level: "silent" });
const CALLER: CallContext = {
  signal: new AbortController().signal,
  peer: "10.0.0.2:40000",
  client: "10.0.0.9:50000",
  caller: { kind: "anonymous" },
  forwarded: true,
};

let memory: MemoryStore;
let state: ClusterState;
let over: AbortController;
let running: Promise<void>;
let clock: ManualClock;
/** The transactions of the writer. */
let transactions: TxnRequest[];

beforeEach(() => {
  memory = new MemoryStore({ clock: systemClock });
  state = new ClusterState();
  over = new AbortController();
  clock = new ManualClock();
  transactions = [];
});
afterEach(async () => {
  over.abort(new Error("test ended"));
  await running;
  memory.close();
});

type Txn = Store["txn"];

/** Returns the handlers of a leader whose transactions pass through `wrap`. */
async function startHandlers(
  wrap: (txn: Txn) => Txn = (txn) => txn,
): Promise<ReturnType<typeof controlHandlers>> {
  const elected = await memory.txn({ ops: [{ kind: "put", key: LEADER_KEY, value: "me" }] }, over.signal);
  if (elected.kind !== "committed") throw new Error("no leader key");
  const txn = wrap((request, signal) => {
    transactions.push(request);
    return memory.txn(request, signal);
  });
  const writer = new Writer({
    store: { range: memory.range.bind(memory), watch: memory.watch.bind(memory), leases: memory.leases, txn },
    state,
    fence: { kind: "created-at", key: LEADER_KEY, revision: elected.revision },
    clock: systemClock,
    logger,
    observer: { onTransaction: () => {} },
  });
  running = writer.run(over.signal);
  let ids = 0;
  const runtime: Runtime = {
    clock,
    wallClockMs: () => 1_000,
    random: () => 0,
    newId: () => `id${ids++}`,
  };
  const common = { state, writer, runtime, logger, signal: over.signal };
  const audit = new AuditLog({ ...common, epoch: 4n, address: "10.0.0.1:7400" });
  // The calls of these tests use no other parts of the context.
  const context = { ...common, audit, networkPool: DEFAULT_NETWORK_POOL } as unknown as ApiContext;
  return controlHandlers(context);
}

function network(name: string): CreateNetworkRequest {
  return Request.fromPartial({ spec: { name } });
}

describe("recordCalls", () => {
  it("writes the record in the same transaction as the change, and before it", async () => {
    const { createNetwork } = await startHandlers();
    await createNetwork(network("front"), CALLER);
    expect(transactions).toHaveLength(1);
    expect(transactions[0]?.ops.map(({ key }) => key.split("/").slice(3, 4)[0])).toEqual([
      "audit",
      "networks",
    ]);
    expect(state.audit.after(0)).toMatchObject([
      {
        sequence: 1,
        method: "CreateNetwork",
        caller: "",
        client: "10.0.0.9:50000",
        forwardedBy: "10.0.0.2:40000",
        subjects: [{ kind: "network", name: "front" }],
        summary: "network front created",
        errorCode: "",
        server: "10.0.0.1:7400",
        epoch: 4,
      },
    ]);
  });

  it("numbers the records of concurrent calls without gaps", async () => {
    const { createNetwork } = await startHandlers();
    await Promise.all(["a", "b", "c", "d"].map((name) => createNetwork(network(name), CALLER)));
    expect(state.audit.after(0).map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4]);
    expect(transactions.length).toBeLessThan(4);
  });

  it.each([true, false])(
    "writes one record when the outcome of the transaction was unknown (committed: %s)",
    async (wasCommitted) => {
      let isFirst = true;
      const { createNetwork } = await startHandlers((txn) => async (request, signal) => {
        if (!isFirst) return txn(request, signal);
        isFirst = false;
        if (wasCommitted) await txn(request, signal);
        return {
          kind: "unknown",
          cause: new BerthError({ code: "BERTH_ETCD_UNAVAILABLE", message: "gone" }),
        };
      });
      await createNetwork(network("front"), CALLER);
      expect(state.audit.after(0)).toMatchObject([{ sequence: 1, summary: "network front created" }]);
      expect(state.networks.byName("front")).toBeDefined();
    },
  );

  it("records refused calls at once, others after 10 s, and the same ones after a minute as one record", async () => {
    const { createNetwork, removeNetworks } = await startHandlers();
    const refuse = async (): Promise<void> => {
      await expect(createNetwork(network("not a name"), CALLER)).rejects.toMatchObject({
        code: "BERTH_SPEC_INVALID",
      });
    };
    await refuse();
    await clock.advance(1);
    await vi.waitFor(() => expect(state.audit.size).toBe(1));
    expect(state.audit.after(0)).toMatchObject([
      { errorCode: "BERTH_SPEC_INVALID", count: 1, subjects: [{ kind: "network", name: "not a name" }] },
    ]);
    for (let i = 0; i < 500; i += 1) await refuse();
    await expect(removeNetworks({ networks: ["gone"] }, CALLER)).rejects.toMatchObject({
      code: "BERTH_NOT_FOUND",
    });
    await clock.advance(9_000);
    expect(state.audit.size).toBe(1);
    await clock.advance(1_000);
    await vi.waitFor(() => expect(state.audit.size).toBe(2));
    await clock.advance(50_000);
    await vi.waitFor(() => expect(state.audit.size).toBe(3));
    expect(state.audit.after(1)).toMatchObject([
      { sequence: 2, errorCode: "BERTH_NOT_FOUND", count: 1 },
      { sequence: 3, errorCode: "BERTH_SPEC_INVALID", count: 500 },
    ]);
  });

  it("records calls that only read when the caller's stacks do not permit them", async () => {
    const { streamLogs, deployStack } = await startHandlers();
    state.users.set(
      "dora",
      User.fromPartial({
        name: "dora",
        certificateName: "dora.aaaaaa",
        role: UserRole.DEPLOYER,
        stacks: "shop",
      }),
    );
    state.services.put(Service.fromPartial({ id: "s1", spec: { name: "bank_web", stack: "bank" } }));
    const dora: CallContext = { ...CALLER, caller: { kind: "user", name: "dora.aaaaaa" } };
    const denied = expect.objectContaining({ code: "BERTH_PERMISSION_DENIED" });
    const logs = StreamLogsRequest.fromPartial({ target: "bank_web" });
    for (let i = 0; i < 100; i += 1) expect(() => streamLogs(logs, dora)).toThrow(denied);
    const dryRun = DeployStackRequest.fromPartial({ stack: "bank", dryRun: true });
    await expect(deployStack(dryRun, dora)).rejects.toEqual(denied);
    await clock.advance(1);
    await vi.waitFor(() => expect(state.audit.size).toBe(2));
    expect(state.audit.after(0)).toMatchObject([
      {
        caller: 'user "dora.aaaaaa"',
        method: "StreamLogs",
        errorCode: "BERTH_PERMISSION_DENIED",
        count: 100,
      },
      { method: "DeployStack", subjects: [{ kind: "stack", name: "bank" }], count: 1 },
    ]);
  });

  it("records neither a call whose caller has left nor a call of a term that has ended", async () => {
    const { createNetwork } = await startHandlers(() => () => new Promise(() => {}));
    const gone = new AbortController();
    const left = createNetwork(network("front"), { ...CALLER, signal: gone.signal });
    gone.abort(new Error("caller gone"));
    await expect(left).rejects.toThrow("caller gone");
    await clock.advance(20_000);
    expect(transactions).toEqual([]);
  });

  it("does not record calls that only read", async () => {
    const { listNetworks, listNodes } = await startHandlers();
    await listNetworks({ stack: "" }, CALLER);
    await listNodes({}, CALLER);
    expect(transactions).toEqual([]);
  });
});
