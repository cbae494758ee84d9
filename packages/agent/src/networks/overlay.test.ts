import { type DataPlane, type ReportedTask, TaskState, TaskStatus } from "@berth/proto";
import { pino } from "pino";
import { expect, test } from "vitest";
import { parseRoutes } from "../core/networks/host-routes.js";
import { networkWith, observedWith } from "../core/networks/testing.js";
import { Overlay } from "./overlay.js";

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

test("Overlay looks at the host when a container begins or ends, not when its health is told", async () => {
  let looks = 0;
  const overlay = new Overlay({
    edge: {
      wireguardPublicKey: "",
      devices: { observe: async () => observedWith({ uplinkMtu: 0 }), run: async () => {} },
      examineKernel: async () => ({ refusal: "", encryptionRefusal: "" }),
    },
    engine: {
      networks: async () => {
        looks += 1;
        return [];
      },
      createNetwork: async () => "",
      removeNetwork: async () => {},
    },
    address: "10.0.0.1",
    log: pino({ level: "silent" }),
    onChange: () => {},
    onAbility: () => {},
    onProblems: () => {},
  });
  const stopping = new AbortController();
  const running = overlay.run(stopping.signal);
  overlay.assign([networkWith()]);
  overlay.engineIsUp({ enclosure: "" } as Parameters<Overlay["engineIsUp"]>[0]);
  await turn();
  const report = async (state: TaskState, message: string): Promise<number> => {
    const before = looks;
    const status = TaskStatus.fromPartial({ state, message });
    const reported: ReportedTask = { taskId: "t", serviceId: "s", status, removed: false };
    overlay.taskReported(reported);
    await turn();
    return looks - before;
  };
  expect(await report(TaskState.RUNNING, "")).toBe(1);
  expect(await report(TaskState.RUNNING, "unhealthy: 503")).toBe(0);
  expect(await report(TaskState.FAILED, "")).toBe(1);
  stopping.abort();
  await running;
});

test("Overlay takes nothing away from a host whose programs were too slow once", async () => {
  const told: Partial<DataPlane>[] = [];
  let isSlow = false;
  const overlay = new Overlay({
    edge: {
      wireguardPublicKey: "",
      devices: {
        observe: async () => {
          if (isSlow) throw new Error("ip: no answer");
          return { ...observedWith(), routes: parseRoutes([{ dst: "10.0.0.0/24", dev: "eth0" }], []) };
        },
        run: async () => {},
      },
      examineKernel: async () => ({ refusal: "", encryptionRefusal: "" }),
    },
    engine: { networks: async () => [], createNetwork: async () => "", removeNetwork: async () => {} },
    address: "10.0.0.1",
    log: pino({ level: "silent" }),
    onChange: () => {},
    onAbility: (ability) => told.push(ability),
    onProblems: () => {},
  });
  await overlay.examine(new AbortController().signal);
  isSlow = true;
  overlay.engineIsUp({ enclosure: "" } as Parameters<Overlay["engineIsUp"]>[0]);
  await turn();
  expect(told).toHaveLength(2);
  for (const ability of told) {
    expect(ability).toMatchObject({ overlay: true, overlayMtu: 1_450, subnets: ["10.0.0.0/24"] });
  }
});
