import { ListenerTraffic, NodeState, TrafficReport } from "@berth/proto";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { buildNode, buildService, buildSpec } from "../../core/testing/records.js";
import { systemRuntime } from "../../runtime/runtime.js";
import { ClusterState } from "../../state/cluster-state.js";
import { ManualClock } from "../../testing/manual-clock.js";
import { TrafficWatch } from "./traffic-watch.js";

const SILENT = pino({ level: "silent" });

let ended: AbortController;
beforeEach(() => {
  ended = new AbortController();
});
afterEach(() => ended.abort());

const report = (...listeners: readonly Parameters<typeof ListenerTraffic.fromPartial>[0][]): TrafficReport =>
  TrafficReport.fromPartial({ listeners: listeners.map((each) => ListenerTraffic.fromPartial(each)) });

test("TrafficWatch adds up the listeners of a service, and sends only hosts whose counters have changed", async () => {
  const state = new ClusterState();
  state.apply([
    { revision: 1n, change: { kind: "put-node", node: buildNode({ id: "a", state: NodeState.READY }) } },
    { revision: 1n, change: { kind: "put-node", node: buildNode({ id: "b", state: NodeState.READY }) } },
    { revision: 1n, change: { kind: "put-node", node: buildNode({ id: "c", state: NodeState.READY }) } },
    {
      revision: 1n,
      change: { kind: "put-service", service: buildService({ spec: buildSpec({ name: "shop_web" }) }) },
    },
  ]);
  const counters = { connections: 3, active: 1, failed: 1, retried: 2 };
  const reports = new Map([
    ["a", report({ serviceName: "shop_web", ...counters }, { serviceName: "shop_web", connections: 4 })],
    ["b", report({ serviceName: "shop_web", connections: 1 }, { serviceName: "removed", connections: 9 })],
  ]);
  let collections = 0;
  const collect = async () => {
    collections += 1;
    return reports;
  };

  const options = {
    state,
    runtime: systemRuntime,
    logger: SILENT,
    signal: ended.signal,
    trafficCollector: { collect },
  };
  let notify = (): void => {};
  const collected = (): Promise<void> =>
    new Promise((resolve) => {
      notify = resolve;
    });
  const first = collected();
  const traffic = new TrafficWatch(options).subscribe(() => notify());
  await first;
  expect(traffic.take()).toMatchObject({
    hosts: [
      { nodeId: "a", services: [{ serviceId: "s1", connections: 7, active: 1, failed: 1, retried: 2 }] },
      { nodeId: "b", services: [{ serviceId: "s1", connections: 1 }] },
    ],
    unresponsiveNodes: ["c"],
    isOmitted: false,
  });
  expect(traffic.take()).toBeUndefined();
  reports.set("b", report({ serviceName: "shop_web", connections: 2 }));
  await collected();
  expect(traffic.take()?.hosts.map(({ nodeId }) => nodeId)).toEqual(["b"]);
  traffic.close();
  const before = collections;
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  expect(collections).toBe(before);
});

test("TrafficWatch collects again after a collection failed", async () => {
  let collections = 0;
  const collect = async () => {
    collections += 1;
    if (collections === 1) throw new Error("disconnected");
    return new Map();
  };
  const clock = new ManualClock();
  const trafficWatch = new TrafficWatch({
    state: new ClusterState(),
    runtime: { ...systemRuntime, clock },
    logger: SILENT,
    signal: ended.signal,
    trafficCollector: { collect },
  });
  const traffic = trafficWatch.subscribe(() => {});
  await clock.advance(999);
  expect(traffic.take()).toBeUndefined();
  await clock.advance(1);
  expect(traffic.take()).toMatchObject({ hosts: [] });
  traffic.close();
});
