import { TrafficReport } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { labelText, trafficMetrics } from "./traffic-metrics.js";

const WEB = { serviceName: "shop_web", stack: "shop", port: "80/tcp", connections: 9, active: 2 };
const answer = (doors: object[]): TrafficReport =>
  TrafficReport.fromPartial({ requestId: "q", listeners: doors, tableVersion: 12 });

describe("the metrics of traffic", () => {
  it("tell of each service's ports and virtual IPs on each host", () => {
    const hosts = [
      { hostname: "h1", answer: answer([{ ...WEB, failed: 1, retried: 3, ejections: 4 }]) },
      {
        hostname: "h2",
        answer: answer([{ serviceName: "shop_api", network: "shop_default", connections: 5 }]),
      },
      { hostname: "h3", answer: undefined },
    ];
    const text = trafficMetrics({ tableVersion: 7, hosts, unasked: 0 });
    const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    const web = 'stack="shop",service="shop_web",port="80/tcp",node="h1"';
    const api = 'service="shop_api",network="shop_default",node="h2"';
    expect(lines).toEqual([
      "berth_table_version 7",
      'berth_node_table_version{node="h1"} 12',
      'berth_node_table_version{node="h2"} 12',
      'berth_traffic_nodes{answer="told"} 2',
      'berth_traffic_nodes{answer="partial"} 0',
      'berth_traffic_nodes{answer="silent"} 1',
      'berth_traffic_nodes{answer="unasked"} 0',
      `berth_service_connections_total{${web}} 9`,
      `berth_service_connections_total{${api}} 5`,
      `berth_service_failures_total{${web}} 1`,
      `berth_service_failures_total{${api}} 0`,
      `berth_service_retries_total{${web}} 3`,
      `berth_service_retries_total{${api}} 0`,
      `berth_service_ejections_total{${web}} 4`,
      `berth_service_ejections_total{${api}} 0`,
      `berth_service_connections_open{${web}} 2`,
    ]);
    expect(text).toContain("# TYPE berth_service_connections_total counter\n");
  });

  it("say which hosts they leave out when there is too much to tell", () => {
    const many = answer(Array.from({ length: 6_000 }, () => WEB));
    const hosts = ["h1", "h2"].map((hostname) => ({ hostname, answer: many }));
    const text = trafficMetrics({ tableVersion: 1, hosts, unasked: 3 });
    expect(text).toContain('berth_traffic_nodes{answer="told"} 1\n');
    expect(text).toContain('berth_traffic_nodes{answer="unasked"} 4\n');
  });

  it("do not take a part for the whole, nor an older release's empty answer for no traffic", () => {
    const hosts = [
      { hostname: "h1", answer: { ...answer([WEB]), partial: true } },
      { hostname: "h2", answer: TrafficReport.fromPartial({ requestId: "q" }) },
    ];
    const text = trafficMetrics({ tableVersion: 1, hosts, unasked: 0 });
    expect(text).toContain('berth_traffic_nodes{answer="told"} 0\n');
    expect(text).toContain('berth_traffic_nodes{answer="partial"} 1\n');
    expect(text).toContain('berth_traffic_nodes{answer="silent"} 1\n');
    expect(text).toMatch(/^berth_service_connections_total\{.*node="h1"\} 9$/m);
    expect(text).not.toContain('node="h2"');
  });

  it("are readable whatever somebody calls a host", () => {
    expect(labelText({ node: 'a"b\\c\nd', stack: "" })).toBe('{node="a\\"b\\\\c\\nd"}');
    expect(labelText({ stack: "" })).toBe("");
  });
});
