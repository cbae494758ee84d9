import { IngressEntry } from "@berth/proto";
import { expect, test } from "vitest";
import { IngressListeners, peersIn, routesOf } from "./ingress-table.js";

const on = (nodeId: string) => ({ taskId: `t-${nodeId}`, nodeId, address: `10.0.0.${nodeId}`, port: 80 });
const entry = IngressEntry.fromPartial({
  key: "tcp//80",
  endpoints: [on("1"), on("2"), on("3")],
});

test("peersIn() names every other node that connections go to", () => {
  const peers = peersIn([entry, { ...entry, endpoints: [on("4")] }], "1");
  expect(Object.fromEntries(peers)).toEqual({ 2: "10.0.0.2", 3: "10.0.0.3", 4: "10.0.0.4" });
});

test("IngressListeners sends nobody to a replica that is known to have ended, unless all have", () => {
  const ended = new Set<string>();
  const routes = routesOf("1", () => ({ kind: "direct", address: "172.17.0.2", port: 80, subnet: "" }));
  const listeners = new IngressListeners(routes, ({ taskId }) => ended.has(taskId));
  const taskIds = (): unknown => listeners.of([entry])[0]?.endpoints.map(({ id }) => id);
  expect(taskIds()).toEqual(["t-1", "t-2", "t-3"]);
  ended.add("t-1");
  expect(taskIds()).toEqual(["t-2", "t-3"]);
  ended.clear();
  expect(taskIds()).toEqual(["t-1", "t-2", "t-3"]);
  for (const { taskId } of entry.endpoints) ended.add(taskId);
  expect(taskIds()).toEqual(["t-1", "t-2", "t-3"]);
});
