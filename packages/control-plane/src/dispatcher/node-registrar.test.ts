import { type BerthError, NodeDescription, NodeState } from "@berth/proto";
import { pino } from "pino";
import { beforeEach, expect, test } from "vitest";
import { MAX_NODES } from "../core/membership/member-limits.js";
import { buildNode } from "../core/testing/records.js";
import type { Decide, Writer } from "../reconciler/writer.js";
import { systemRuntime } from "../runtime/runtime.js";
import { ClusterState } from "../state/cluster-state.js";
import { ManualClock } from "../testing/manual-clock.js";
import { NodeRegistrar } from "./node-registrar.js";

const never = new AbortController().signal;

let state: ClusterState;
let clock: ManualClock;
let registrar: NodeRegistrar;
let writes: number;
let suspects: Set<string>;

beforeEach(() => {
  state = new ClusterState();
  clock = new ManualClock();
  writes = 0;
  suspects = new Set();
  let revision = 1n;
  const writer = {
    submit: async (decide: Decide<unknown>) => {
      const { changes, result } = decide(state);
      writes += changes.length;
      revision += 1n;
      state.apply(changes.map((change) => ({ change, revision })));
      return result;
    },
  } as unknown as Writer;
  registrar = new NodeRegistrar({
    state,
    writer,
    isSuspect: (nodeId) => suspects.has(nodeId),
    isConnected: () => true,
    mustJoin: false,
    runtime: { ...systemRuntime, clock },
    logger: pino({ level: "silent" }),
    signal: never,
  });
});

const agentOf = (nodeId: string, fields: Parameters<typeof NodeDescription.fromPartial>[0] = {}) => ({
  nodeId,
  description: NodeDescription.fromPartial({ hostname: nodeId, address: "192.0.2.1", ...fields }),
  peer: "192.0.2.1:50000",
});
/** About 32 KB. */
const problems = (index: number): string[] => Array.from({ length: 40 }, () => `${index} ${"x".repeat(800)}`);
const firstProblem = (nodeId: string): string | undefined =>
  state.nodes.get(nodeId)?.description?.problems[0]?.slice(0, 4);
const ignore = (): void => {};

test("NodeRegistrar writes the latest of many descriptions when the budget of the node allows", async () => {
  await registrar.register(agentOf("a"), never);
  for (let index = 100; index < 900; index += 1) {
    registrar.update(agentOf("a", { problems: problems(index) }), ignore);
    await clock.advance(1);
  }
  expect(writes).toBeLessThanOrEqual(5);
  await clock.advance(10_000);
  expect(firstProblem("a")).toBe("899 ");
  expect(writes).toBeLessThanOrEqual(7);
});

test("NodeRegistrar defers the description of a node that keeps reconnecting with another one", async () => {
  const isStored: boolean[] = [];
  for (let index = 100; index < 120; index += 1) {
    isStored.push(await registrar.register(agentOf("a", { problems: problems(index) }), never));
  }
  expect(isStored.filter((stored) => stored)).toHaveLength(4);
  expect(state.nodes.get("a")?.state).toBe(NodeState.READY);
  registrar.update(agentOf("a", { problems: problems(119) }), ignore);
  await clock.advance(10_000);
  expect(firstProblem("a")).toBe("119 ");
  expect(await registrar.register(agentOf("a", { problems: problems(119) }), never)).toBe(true);
});

test("NodeRegistrar does not delay a node whose neighbor has used up its budget", async () => {
  await registrar.register(agentOf("busy"), never);
  await registrar.register(agentOf("other", { address: "192.0.2.2" }), never);
  for (let index = 100; index < 200; index += 1) {
    registrar.update(agentOf("busy", { problems: problems(index) }), ignore);
  }
  registrar.update(agentOf("other", { address: "192.0.2.2", problems: ["full"] }), ignore);
  await clock.advance(0);
  expect(firstProblem("other")).toBe("full");
});

test("NodeRegistrar refuses a new node beyond the limit and still serves a registered one", async () => {
  for (let index = 0; index < MAX_NODES; index += 1) {
    const node = buildNode({
      id: `n${index}`,
      description: { address: `10.1.${index >> 8}.${index & 255}` },
    });
    state.nodes.put(node);
  }
  await expect(registrar.register(agentOf("one-more"), never)).rejects.toMatchObject({
    code: "BERTH_LIMIT_EXCEEDED",
  });
  expect(await registrar.register(agentOf("n7", { address: "10.1.0.7" }), never)).toBe(true);
});

test("NodeRegistrar refuses the address of a live node, but not of a silent one", async () => {
  await registrar.register(agentOf("victim"), never);
  const thief = agentOf("thief");
  await expect(registrar.register(thief, never)).rejects.toMatchObject({
    code: "BERTH_CONFLICT",
    message:
      "node thief was not registered: victim (node victim) is connected with address 192.0.2.1; set --advertise to an address of this host",
  });
  suspects.add("victim");
  await registrar.register(thief, never);
  suspects.clear();
  await registrar.register(agentOf("victim", { pids: 1 }), never);
  expect(state.nodes.get("victim")?.description?.pids).toBe(1);
});

test("NodeRegistrar ends the session of a node that changes its address to that of another live node", async () => {
  await registrar.register(agentOf("victim"), never);
  await registrar.register(agentOf("thief", { address: "192.0.2.9" }), never);
  const refusals: BerthError[] = [];
  registrar.update(agentOf("thief"), (error) => refusals.push(error));
  await clock.advance(0);
  expect(refusals.map(({ code }) => code)).toEqual(["BERTH_CONFLICT"]);
  expect(state.nodes.get("thief")?.description?.address).toBe("192.0.2.9");
});

test("NodeRegistrar accepts a loopback address only from the machine of the server", async () => {
  const local = agentOf("a", { address: "127.0.0.1" });
  await expect(registrar.register(local, never)).rejects.toMatchObject({ code: "BERTH_INPUT_INVALID" });
  for (const peer of [
    "127.0.0.1:50000",
    "[::1]:50000",
    "[::ffff:127.0.0.1]:50000",
    "::ffff:127.0.0.1:50000",
  ]) {
    await registrar.register({ ...local, peer }, never);
  }
  expect(state.nodes.get("a")?.description?.address).toBe("127.0.0.1");
});
