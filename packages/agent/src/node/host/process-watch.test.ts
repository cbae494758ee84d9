import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import {
  type ContainerProcesses,
  containerProcesses,
  ProcessWatch,
  type RunningContainer,
} from "./process-watch.js";

const CONTAINER: RunningContainer = { taskId: "t1", containerId: "c1", processId: 7 };

function watchWith(isOurs: boolean): {
  readonly alive: Set<number>;
  readonly ended: string[];
  readonly check: (...running: readonly RunningContainer[]) => Promise<void>;
} {
  const alive = new Set([7]);
  const ended: string[] = [];
  let running: readonly RunningContainer[] = [];
  const processes: ContainerProcesses = {
    belongsTo: async () => isOurs,
    isAlive: (processId) => alive.has(processId),
  };
  const watch = new ProcessWatch({
    processes,
    runningContainers: () => running,
    onExited: ({ containerId }) => ended.push(containerId),
    ticker: { every: () => () => {} },
  });
  const check = async (...now: readonly RunningContainer[]): Promise<void> => {
    running = now;
    watch.reportExits();
    await Promise.resolve();
  };
  return { alive, ended, check };
}

describe("ProcessWatch", () => {
  it("reports an exited container once", async () => {
    const { alive, ended, check } = watchWith(true);
    await check(CONTAINER);
    await check(CONTAINER);
    expect(ended).toEqual([]);
    alive.clear();
    await check(CONTAINER);
    await check(CONTAINER);
    expect(ended).toEqual(["c1"]);
  });

  it("reports neither foreign processes nor containers whose exit dockerd has reported", async () => {
    const foreign = watchWith(false);
    await foreign.check(CONTAINER);
    foreign.alive.clear();
    await foreign.check(CONTAINER);
    const stopped = watchWith(true);
    await stopped.check(CONTAINER);
    stopped.alive.clear();
    await stopped.check();
    expect([foreign.ended, stopped.ended]).toEqual([[], []]);
  });

  it("containerProcesses reads the state from the kernel", async () => {
    const child = spawn("sleep", ["60"], { stdio: "ignore" });
    const pid = child.pid ?? 0;
    expect(containerProcesses.isAlive(pid)).toBe(true);
    expect(await containerProcesses.belongsTo(pid, "f00dfeed")).toBe(false);
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
    expect(containerProcesses.isAlive(pid)).toBe(false);
  });
});
