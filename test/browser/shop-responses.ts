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
  StreamAudit: {
    messages: [
      {
        record: { sequence: 1, timeMs: 1, kind: "KIND_CHANGE", method: "DeployStack", caller: "user alice" },
      },
    ],
  },
};
