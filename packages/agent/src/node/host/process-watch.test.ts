import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { type ContainerProcesses, containerProcesses } from "./container-processes.js";
import { ProcessWatch, type RunningContainer } from "./process-watch.js";

const CONTAINER: RunningContainer = { taskId: "t1", containerId: "c1", processId: 7 };

function watchWith(isOurs: boolean): {
  readonly alive: Set<number>;
  readonly ended: string[];
  readonly look: (...running: readonly RunningContainer[]) => Promise<void>;
} {
  const [alive, ended] = [new Set([7]), [] as string[]];
  let running: readonly RunningContainer[] = [];
  const processes: ContainerProcesses = {
    isOf: async () => isOurs,
    isThere: (processId) => alive.has(processId),
  };
  const watch = new ProcessWatch({
    processes,
    running: () => running,
    onEnded: ({ containerId }) => ended.push(containerId),
    pulse: { every: () => () => {} },
  });
  const look = async (...now: readonly RunningContainer[]): Promise<void> => {
    running = now;
    watch.look();
    await Promise.resolve();
  };
  return { alive, ended, look };
}

describe("the watch over containers' processes", () => {
  it("tells once of one that has ended", async () => {
    const { alive, ended, look } = watchWith(true);
    await look(CONTAINER);
    await look(CONTAINER);
    expect(ended).toEqual([]);
    alive.clear();
    await look(CONTAINER);
    await look(CONTAINER);
    expect(ended).toEqual(["c1"]);
  });

  it("says nothing of a number that is another's process, or of a container that Docker has seen end", async () => {
    const foreign = watchWith(false);
    await foreign.look(CONTAINER);
    foreign.alive.clear();
    await foreign.look(CONTAINER);
    const stopped = watchWith(true);
    await stopped.look(CONTAINER);
    stopped.alive.clear();
    await stopped.look();
    expect([foreign.ended, stopped.ended]).toEqual([[], []]);
  });

  it("asks the kernel", async () => {
    const child = spawn("sleep", ["60"], { stdio: "ignore" });
    const pid = child.pid ?? 0;
    expect(containerProcesses.isThere(pid)).toBe(true);
    expect(await containerProcesses.isOf(pid, "f00dfeed")).toBe(false);
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
    expect(containerProcesses.isThere(pid)).toBe(false);
  });
});
