import { NodeState } from "@berth/proto";
import { expect, it } from "vitest";
import { buildNode } from "../core/testing/records.js";
import { TrafficCollector } from "../dispatcher/relays/traffic-collector.js";
import { ClusterState } from "../state/cluster-state.js";
import { ManualClock } from "../testing/manual-clock.js";
import { surveyTraffic } from "./traffic-metrics.js";

function survey(hosts: readonly (readonly [id: string, hostname: string, state?: NodeState])[]) {
  const state = new ClusterState();
  const nodes = hosts.map(([id, hostname, itsState = NodeState.READY]) =>
    buildNode({ id, state: itsState, description: { hostname, address: id } }),
  );
  state.apply(nodes.map((node) => ({ change: { kind: "put-node", node }, revision: 1n })));
  const runtime = { clock: new ManualClock(), now: () => 0, random: () => 0, newId: () => "q1" };
  const counters = new TrafficCollector({ runtime, sessionOf: () => undefined });
  return surveyTraffic({ state, trafficCollector: counters, tableVersion: () => 7 });
}

it("names each host that is up once, those of one name by their ids as well", async () => {
  const { hosts, unasked } = await survey([
    ["a", "web"],
    ["b", "box"],
    ["c", "box"],
    ["d", "gone", NodeState.DOWN],
  ]);
  expect(hosts.map(({ hostname }) => hostname)).toEqual(["web", "box (b)", "box (c)"]);
  expect(unasked).toBe(0);
});

it("asks nobody where there are too many", async () => {
  const many = Array.from({ length: 251 }, (_, index) => [`n${index}`, `h${index}`] as const);
  expect(await survey(many)).toEqual({ tableVersion: 7, hosts: [], unasked: 251 });
});
