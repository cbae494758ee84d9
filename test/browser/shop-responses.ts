import type { JsonObject } from "../../packages/web/src/core/json.js";

/** Responses for the first service of a simulated cluster, by method. Streams have messages. */
export const SHOP_RESPONSES: Readonly<Record<string, JsonObject>> = {
  GetService: {
    service: { service: { spec: { replicated: { replicas: 4 } } } },
    revisions: [
      { version: 2, image: "shop:2" },
      { version: 1, image: "shop:1" },
    ],
    ingress: [
      {
        key: "tcp//8001",
        published: 8_001,
        endpoints: [{ taskId: "t1", nodeId: "n1", address: "10.0.0.1", port: 80 }],
        draining: [{ taskId: "t2", nodeId: "n3", address: "10.0.0.3", port: 80 }],
      },
    ],
  },
  DeployStack: {
    plan: {
      rev: "r1",
      services: [
        {
          name: "shop_web",
          kind: "KIND_UPDATED",
          replacesTasks: true,
          rollout: "1 at a time, start-first",
          changes: [{ path: "task.container.image", before: "shop:1", after: "shop:2" }],
          steps: [{ kind: "KIND_REPLACE", slot: 1, fromHostname: "h1", toHostname: "h2", round: 1 }],
        },
      ],
    },
  },
  StreamLogs: {
    messages: ["ready", "GET /"].map((text, index) => ({
      line: {
        serviceName: "shop_web",
        slot: index + 1,
        nodeHostname: "h1",
        entry: { timeNs: "1764588000000000000", line: Buffer.from(text).toString("base64") },
      },
    })),
  },
  GetNode: { node: { id: "n2", hostname: "h2", engineVersion: "20.10.24" } },
  WatchStats: {
    messages: [
      {
        nodes: [
          { nodeId: "n2", stats: { usage: { cpuPercent: 87, memoryBytes: 3.2 * 2 ** 30 } } },
          { nodeId: "n4", stats: { usage: { cpuPercent: 145, memoryBytes: 2.1 * 2 ** 30 } } },
        ],
        tasks: Array.from({ length: 40 }, (_, index) => ({
          taskId: `t${index + 1}`,
          usage: { cpuPercent: (index * 7) % 23, memoryBytes: (60 + index) * 2 ** 20 },
        })),
      },
    ],
  },
  StreamAudit: {
    messages: [
      {
        record: { sequence: 1, timeMs: 1, kind: "KIND_CHANGE", method: "DeployStack", caller: "user alice" },
      },
    ],
  },
};
