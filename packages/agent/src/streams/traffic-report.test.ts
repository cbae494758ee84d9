import { expect, test } from "vitest";
import type { ListenerStats } from "../dataplane/table/ingress-table.js";
import { serviceTraffic, trafficReport } from "./traffic-report.js";

const endpoint = { address: "10.0.0.1", port: 80, state: "serving", total: 5, active: 1, failed: 2 } as const;
const listener: ListenerStats = {
  protocol: "tcp",
  address: "",
  port: 80,
  service: "shop_web",
  stack: "shop",
  total: 10,
  active: 2,
  failed: 1,
  retried: 3,
  ejections: 1,
  held: 2,
  heldTotal: 7,
  heldRefused: 0,
  endpoints: [
    { ...endpoint, id: "b" },
    { ...endpoint, id: "a", state: "ejected" },
  ],
  nodes: [],
};

test("serviceTraffic() adds up the ports of a service, task by task", () => {
  const second = { ...listener, port: 443, endpoints: [{ ...endpoint, id: "a" }] };
  const other = { ...listener, service: "shop_api" };
  expect(serviceTraffic({ listeners: [listener, other, second] }, "shop_web")).toEqual({
    connections: 20,
    active: 4,
    failed: 2,
    retried: 6,
    held: 4,
    heldTotal: 14,
    tasks: [
      { taskId: "a", connections: 10, active: 2, failed: 4, ejected: true, draining: false },
      { taskId: "b", connections: 5, active: 1, failed: 2, ejected: false, draining: false },
    ],
  });
});

test("serviceTraffic() has nothing to say of a service that this host does not publish", () => {
  expect(serviceTraffic({ listeners: [listener] }, "shop_db")).toBeUndefined();
});

test("trafficReport() to who asks for all tells of each port and virtual IP that is used", () => {
  const bound = { ...listener, address: "10.0.0.9", port: 53, protocol: "udp" } as const;
  const unused = { ...listener, port: 81, total: 0, ejections: 0 };
  const vip = { service: "shop_api", stack: "shop", network: "shop_default" };
  const vips = [
    { ...vip, connections: 4, held: 0, heldTotal: 0, heldRefused: 0 },
    { ...vip, connections: 0, held: 0, heldTotal: 0, heldRefused: 0 },
  ];
  const stats = { listeners: [listener, bound, unused], vips, version: 7 };
  const {
    listeners: doors,
    traffic,
    tableVersion,
    partial,
  } = trafficReport(stats, { requestId: "q", serviceName: "" });
  expect([traffic, tableVersion, partial]).toEqual([undefined, 7, false]);
  const counts = { connections: 10, active: 2, failed: 1, retried: 3, ejections: 1 };
  const none = { active: 0, failed: 0, retried: 0, ejections: 0 };
  expect(doors).toEqual([
    { serviceName: "shop_web", stack: "shop", port: "80/tcp", network: "", ...counts },
    { serviceName: "shop_web", stack: "shop", port: "10.0.0.9:53/udp", network: "", ...counts },
    { serviceName: "shop_api", stack: "shop", port: "", network: "shop_default", connections: 4, ...none },
  ]);
});

test("trafficReport() says when it has no room for all", () => {
  const used = (count: number) => Array.from({ length: count }, (_, port) => ({ ...listener, port }));
  const asked = (count: number) =>
    trafficReport({ listeners: used(count), vips: [], version: 7 }, { requestId: "q", serviceName: "" });
  expect(asked(5_000)).toMatchObject({ listeners: { length: 5_000 }, partial: false });
  expect(asked(5_001)).toMatchObject({ listeners: { length: 5_000 }, partial: true });
});
