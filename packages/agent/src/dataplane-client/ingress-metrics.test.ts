import { describe, expect, it } from "vitest";
import type { IngressStats } from "../dataplane/table/ingress-table.js";
import { ingressMetrics } from "./ingress-metrics.js";
import { serveMetrics } from "./serve-metrics.js";

const ENDPOINT = { address: "10.0.0.2", port: 32_768, active: 1 } as const;
const STATS: IngressStats = {
  version: 7,
  processId: 1,
  uptimeMs: 1,
  residentBytes: 50_000_000,
  acceptErrors: 0,
  errors: [],
  dnsProblems: [],
  path: { kernel: true, reason: "supported by the kernel" },
  listeners: [
    {
      protocol: "tcp",
      address: "",
      port: 80,
      service: "shop_web",
      stack: "shop",
      total: 30,
      active: 2,
      failed: 1,
      retried: 4,
      ejections: 5,
      held: 3,
      heldTotal: 6,
      heldRefused: 1,
      endpoints: [
        { ...ENDPOINT, id: "t1", node: "n1", state: "serving", total: 10, failed: 0 },
        { ...ENDPOINT, id: "t2", node: "n1", state: "serving", total: 11, failed: 3 },
        { ...ENDPOINT, id: "t3", node: "n2", state: "ejected", total: 9, failed: 1 },
      ],
      nodes: [
        { node: "n1", total: 21, failed: 3 },
        { node: "n2", total: 9, failed: 1 },
      ],
    },
  ],
  vips: [
    {
      service: "shop_api",
      stack: "shop",
      network: "shop_default",
      connections: 6,
      held: 1,
      heldTotal: 2,
      heldRefused: 1,
    },
  ],
};

describe("ingressMetrics", () => {
  it("reports each published port and the share of each node", async () => {
    const lines = (await ingressMetrics(STATS))
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"));
    const port = 'stack="shop",service="shop_web",port="80/tcp"';
    expect(lines).toEqual([
      "berth_ingress_table_version 7",
      "berth_ingress_kernel 1",
      "berth_ingress_resident_bytes 50000000",
      "berth_ingress_closed_ports 0",
      `berth_ingress_connections_total{${port}} 30`,
      `berth_ingress_connections_open{${port}} 2`,
      `berth_ingress_failures_total{${port}} 1`,
      `berth_ingress_retries_total{${port}} 4`,
      `berth_ingress_connections_held{${port}} 3`,
      `berth_ingress_held_total{${port}} 6`,
      `berth_ingress_held_refused_total{${port}} 1`,
      `berth_ingress_ejections_total{${port}} 5`,
      `berth_ingress_endpoints{${port},state="serving"} 2`,
      `berth_ingress_endpoints{${port},state="ejected"} 1`,
      `berth_ingress_node_connections_total{${port},to_node="n1"} 21`,
      `berth_ingress_node_connections_total{${port},to_node="n2"} 9`,
      `berth_ingress_node_failures_total{${port},to_node="n1"} 3`,
      `berth_ingress_node_failures_total{${port},to_node="n2"} 1`,
      'berth_ingress_vip_connections_total{stack="shop",service="shop_api",network="shop_default"} 6',
      'berth_ingress_vip_connections_held{stack="shop",service="shop_api",network="shop_default"} 1',
      'berth_ingress_vip_held_total{stack="shop",service="shop_api",network="shop_default"} 2',
      'berth_ingress_vip_held_refused_total{stack="shop",service="shop_api",network="shop_default"} 1',
    ]);
  });

  it("serves ingress metrics over HTTP, with status 503 when the ingress process does not answer", async () => {
    let isDown = false;
    const server = await serveMetrics("127.0.0.1:0", async () => {
      if (isDown) throw new Error("lost connection");
      return ingressMetrics(STATS);
    });
    try {
      const good = await fetch(`http://${server.address}/metrics`);
      expect([good.status, (await good.text()).includes("berth_ingress_kernel 1")]).toEqual([200, true]);
      isDown = true;
      const bad = await fetch(`http://${server.address}/metrics`);
      expect([bad.status, await bad.text()]).toEqual([503, "lost connection\n"]);
      expect((await fetch(`http://${server.address}/`)).status).toBe(404);
      await expect(serveMetrics(server.address, async () => "")).rejects.toThrow("--metrics");
    } finally {
      server.close();
    }
  });
});
