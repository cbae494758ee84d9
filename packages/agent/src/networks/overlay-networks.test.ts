import { type DataPlane, type ReportedTask, TaskState, TaskStatus } from "@berth/proto";
import { pino } from "pino";
import { expect, onTestFinished, test, vi } from "vitest";
import { parseRoutes } from "../core/networks/host-routes.js";
import { networkWith, observedWith } from "../core/networks/testing.js";
import type { EngineInfo } from "../engine/engine.js";

// Vitest replaces the global timers only.
vi.mock("node:timers/promises", () => ({
  setTimeout: (delayMs: number, value: unknown, { signal }: { signal: AbortSignal }) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => resolve(value), delayMs);
      const onAbort = (): void => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      signal.addEventListener("abort", onAbort, { once: true });
    }),
}));
// Another test file of this worker may have loaded the modules without the mock.
vi.resetModules();
const { OverlayNetworks } = await import("./overlay-networks.js");

const nextTurn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

test("OverlayNetworks observes the bridge ports when a container starts, and the host when one ends while a network waits", async () => {
  const observations = { host: 0, ports: 0 };
  let vxlanFilter = "";
  const overlay = new OverlayNetworks({
    networking: {
      wireguardPublicKey: "",
      devices: {
        observe: async () => observedWith({ uplinkMtu: 0, vxlanFilter }),
        observePorts: async () => {
          observations.ports += 1;
          return [];
        },
        execute: async (steps) => {
          for (const step of steps) if (step.kind === "set-vxlan-filter") vxlanFilter = step.ruleset;
        },
      },
      detectKernelSupport: async () => ({ overlayProblem: "", encryptionProblem: "" }),
    },
    engine: {
      networks: async () => {
        observations.host += 1;
        return [];
      },
      createNetwork: async () => "",
      removeNetwork: async () => {},
    },
    address: "10.0.0.1",
    log: pino({ level: "silent" }),
    onChange: () => {},
    onCapabilities: () => {},
    onProblems: () => {},
  });
  const stopping = new AbortController();
  const running = overlay.run(stopping.signal);
  overlay.setNetworks([networkWith()]);
  overlay.engineConnected({ isolation: "" } as EngineInfo);
  await nextTurn();
  const report = async (state: TaskState, message: string): Promise<unknown> => {
    const before = { ...observations };
    const status = TaskStatus.fromPartial({ state, message });
    const reported: ReportedTask = { taskId: "t", serviceId: "s", status, removed: false };
    overlay.taskReported(reported);
    await nextTurn();
    return { host: observations.host - before.host, ports: observations.ports - before.ports };
  };
  expect(await report(TaskState.PREPARING, "")).toEqual({ host: 0, ports: 0 });
  expect(await report(TaskState.RUNNING, "")).toEqual({ host: 0, ports: 1 });
  expect(await report(TaskState.RUNNING, "unhealthy: 503")).toEqual({ host: 0, ports: 0 });
  expect(await report(TaskState.FAILED, "")).toEqual({ host: 1, ports: 0 });
  stopping.abort();
  await running;
});

test("OverlayNetworks reports the previous capabilities when an observation fails", async () => {
  const reports: Partial<DataPlane>[] = [];
  let isFailing = false;
  const overlay = new OverlayNetworks({
    networking: {
      wireguardPublicKey: "",
      devices: {
        observe: async () => {
          if (isFailing) throw new Error("ip: no answer");
          return { ...observedWith(), routes: parseRoutes([{ dst: "10.0.0.0/24", dev: "eth0" }], []) };
        },
        observePorts: async () => [],
        execute: async () => {},
      },
      detectKernelSupport: async () => ({ overlayProblem: "", encryptionProblem: "" }),
    },
    engine: { networks: async () => [], createNetwork: async () => "", removeNetwork: async () => {} },
    address: "10.0.0.1",
    log: pino({ level: "silent" }),
    onChange: () => {},
    onCapabilities: (capabilities) => reports.push(capabilities),
    onProblems: () => {},
  });
  await overlay.detectCapabilities(new AbortController().signal);
  isFailing = true;
  overlay.engineConnected({ isolation: "" } as EngineInfo);
  await nextTurn();
  expect(reports).toHaveLength(2);
  for (const capabilities of reports) {
    expect(capabilities).toMatchObject({ overlay: true, overlayMtu: 1_450, subnets: ["10.0.0.0/24"] });
  }
});

test("OverlayNetworks observes the host once every 30 s, and reports new subnets with each observation", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  onTestFinished(() => void vi.useRealTimers());
  const reports: Partial<DataPlane>[] = [];
  let dst = "10.0.0.0/24";
  const observe = vi.fn(async () => ({ ...observedWith(), routes: parseRoutes([{ dst, dev: "eth0" }], []) }));
  const overlay = new OverlayNetworks({
    networking: {
      wireguardPublicKey: "",
      devices: { observe, observePorts: async () => [], execute: async () => {} },
      detectKernelSupport: async () => ({ overlayProblem: "", encryptionProblem: "" }),
    },
    engine: { networks: async () => [], createNetwork: async () => "", removeNetwork: async () => {} },
    address: "10.0.0.1",
    log: pino({ level: "silent" }),
    onChange: () => {},
    onCapabilities: (capabilities) => reports.push(capabilities),
    onProblems: () => {},
  });
  const stopping = new AbortController();
  await overlay.detectCapabilities(stopping.signal);
  const running = overlay.run(stopping.signal);
  overlay.setNetworks([]);
  overlay.engineConnected({ isolation: "" } as EngineInfo);
  await vi.advanceTimersByTimeAsync(1_000);
  observe.mockClear();
  await vi.advanceTimersByTimeAsync(300_000);
  expect(observe).toHaveBeenCalledTimes(10);
  dst = "10.9.0.0/24";
  await vi.advanceTimersByTimeAsync(30_000);
  expect(reports.at(-1)).toMatchObject({ subnets: ["10.9.0.0/24"] });
  stopping.abort();
  await running;
});
