import { expect, test } from "vitest";
import type { ListenerStats } from "../ingress/table.js";
import { serviceTraffic } from "./traffic-answer.js";

const endpoint = { address: "10.0.0.1", port: 80, state: "serving", total: 5, active: 1, failed: 2 } as const;
const listener: ListenerStats = {
  protocol: "tcp",
  address: "",
  port: 80,
  service: "shop_web",
  total: 10,
  active: 2,
  failed: 1,
  retried: 3,
  endpoints: [
    { ...endpoint, id: "b" },
    { ...endpoint, id: "a", state: "ejected" },
  ],
};

test("serviceTraffic() adds up the ports of a service, task by task", () => {
  const second = { ...listener, port: 443, endpoints: [{ ...endpoint, id: "a" }] };
  const other = { ...listener, service: "shop_api" };
  expect(serviceTraffic({ listeners: [listener, other, second] }, "shop_web")).toEqual({
    connections: 20,
    active: 4,
    failed: 2,
    retried: 6,
    tasks: [
      { taskId: "a", connections: 10, active: 2, failed: 4, ejected: true, draining: false },
      { taskId: "b", connections: 5, active: 1, failed: 2, ejected: false, draining: false },
    ],
  });
});

test("serviceTraffic() has nothing to say of a service that this host does not publish", () => {
  expect(serviceTraffic({ listeners: [listener] }, "shop_db")).toBeUndefined();
});
