import { IngressEntry, PortSpec_Protocol } from "@berth/proto";
import { expect, test } from "vitest";
import { avoiding, peersIn } from "./ingress-table.js";

const on = (nodeId: string) => ({ taskId: `t-${nodeId}`, nodeId, address: `10.0.0.${nodeId}`, port: 80 });
const entry = IngressEntry.fromPartial({
  key: "tcp//80",
  protocol: PortSpec_Protocol.TCP,
  endpoints: [on("1"), on("2"), on("3")],
});

test("avoiding() sends new connections elsewhere, and keeps those that are there", () => {
  const [avoided] = avoiding([entry], new Set(["2"]));
  expect(avoided?.endpoints.map(({ nodeId }) => nodeId)).toEqual(["1", "3"]);
  expect(avoided?.draining.map(({ nodeId }) => nodeId)).toEqual(["2"]);
});

test("avoiding() leaves a port as it is that has no other endpoints", () => {
  expect(avoiding([entry], new Set(["1", "2", "3"]))).toEqual([entry]);
  expect(avoiding([entry], new Set(["4"]))).toEqual([entry]);
  expect(avoiding([entry], new Set())).toEqual([entry]);
});

test("avoiding() moves flows of datagrams", () => {
  const [avoided] = avoiding([{ ...entry, protocol: PortSpec_Protocol.UDP }], new Set(["2"]));
  expect(avoided).toMatchObject({ endpoints: [on("1"), on("3")], draining: [] });
});

test("peersIn() names every other node that connections go to", () => {
  const peers = peersIn([entry, { ...entry, endpoints: [on("4")] }], "1");
  expect(Object.fromEntries(peers)).toEqual({ 2: "10.0.0.2", 3: "10.0.0.3", 4: "10.0.0.4" });
});
