import type { WaitingClients } from "@berth/proto";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type HeldClients, WaitingClientsReporter } from "./waiting-clients.js";

let clients: HeldClients[];
let reports: WaitingClients[];
let reporter: WaitingClientsReporter;

beforeEach(() => {
  vi.useFakeTimers();
  clients = [];
  reports = [];
  reporter = new WaitingClientsReporter(() => clients);
  reporter.onReport = (report) => reports.push(report);
});
afterEach(() => {
  vi.useRealTimers();
});

it("reports the sum over the ports of each service, at most ten times a second", () => {
  clients = [
    { service: "shop_web", held: 2, heldTotal: 3, heldRefused: 1 },
    { service: "shop_web", held: 1, heldTotal: 1, heldRefused: 0 },
    { service: "shop_api", held: 0, heldTotal: 9, heldRefused: 0 },
  ];
  for (let change = 0; change < 5; change += 1) reporter.onChange();
  expect(reports).toEqual([]);
  vi.advanceTimersByTime(100);
  expect(reports).toEqual([{ services: [{ serviceName: "shop_web", waiting: 3, total: 4, refused: 1 }] }]);
});

it("reports once that the last client of a service has ceased to wait", () => {
  clients = [{ service: "shop_web", held: 1, heldTotal: 1, heldRefused: 0 }];
  reporter.onChange();
  vi.advanceTimersByTime(100);
  clients = [{ service: "shop_web", held: 0, heldTotal: 1, heldRefused: 0 }];
  reporter.onChange();
  vi.advanceTimersByTime(100);
  reporter.onChange();
  vi.advanceTimersByTime(100);
  expect(reports.map(({ services }) => services.map(({ waiting }) => waiting))).toEqual([[1], [0]]);
  expect(reporter.current()).toEqual({ services: [] });
});
