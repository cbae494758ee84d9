import { type DataPlane, type ReportedTask, TaskState, TaskStatus } from "@berth/proto";
import { pino } from "pino";
import { expect, test } from "vitest";
import { parseRoutes } from "../core/networks/host-routes.js";
import { networkWith, observedWith } from "../core/networks/testing.js";
import { OverlayNetworks } from "./overlay-networks.js";

const nextTurn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

test("OverlayNetworks observes the host when a container starts or ends, not when its health changes", async () => {
  let observations = 0;
  const overlay = new OverlayNetworks({
    networking: {
      wireguardPublicKey: "",
      devices: { observe: async () => observedWith({ uplinkMtu: 0 }), run: async () => {} },
      detectKernelSupport: async () => ({ overlayProblem: "", encryptionProblem: "" }),
    },
    engine: {
      networks: async () => {
        observations += 1;
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
  overlay.engineConnected({ isolation: "" } as Parameters<OverlayNetworks["engineConnected"]>[0]);
  await nextTurn();
  const report = async (state: TaskState, message: string): Promise<number> => {
    const before = observations;
    const status = TaskStatus.fromPartial({ state, message });
    const reported: ReportedTask = { taskId: "t", serviceId: "s", status, removed: false };
    overlay.taskReported(reported);
    await nextTurn();
    return observations - before;
  };
  expect(await report(TaskState.RUNNING, "")).toBe(1);
  expect(await report(TaskState.RUNNING, "unhealthy: 503")).toBe(0);
  expect(await report(TaskState.FAILED, "")).toBe(1);
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
        run: async () => {},
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
  overlay.engineConnected({ isolation: "" } as Parameters<OverlayNetworks["engineConnected"]>[0]);
  await nextTurn();
  expect(reports).toHaveLength(2);
  for (const capabilities of reports) {
    expect(capabilities).toMatchObject({ overlay: true, overlayMtu: 1_450, subnets: ["10.0.0.0/24"] });
  }
});
