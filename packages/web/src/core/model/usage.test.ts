import { expect, it } from "vitest";
import { decodeClusterUsage } from "./usage.js";

it("reads the usage of nodes and tasks, and leaves out what is not known", () => {
  const { nodes, tasks } = decodeClusterUsage({
    nodes: [
      { nodeId: "n1", hostname: "h1", stats: { usage: { cpuPercent: 12.5, memoryBytes: 2 ** 30 }, cpus: 2 } },
      { nodeId: "n2", hostname: "h2" },
    ],
    tasks: [{ taskId: "t1", usage: { memoryBytes: 1_024 } }, { taskId: "t2" }],
  });
  expect([...nodes]).toEqual([["n1", { cpuPercent: 12.5, memoryBytes: 2 ** 30 }]]);
  expect([...tasks]).toEqual([["t1", { cpuPercent: 0, memoryBytes: 1_024 }]]);
});
