import { NodeState, TrafficReport } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { buildNode } from "../core/testing/records.js";
import { TrafficCollector } from "../dispatcher/relays/traffic-collector.js";
import { ClusterState } from "../state/cluster-state.js";
import { ManualClock } from "../testing/manual-clock.js";
import { formatLabels } from "./metric-text.js";
import { formatTrafficMetrics, surveyTraffic } from "./traffic-metrics.js";

const WEB = { serviceName: "shop_web", stack: "shop", port: "80/tcp", connections: 9, active: 2 };
const buildReport = (listeners: object[]): TrafficReport =>
  TrafficReport.fromPartial({ requestId: "q", listeners, tableVersion: 12 });

describe("formatTrafficMetrics", () => {
  it("reports each service's ports and virtual IPs on each host", () => {
    const hosts = [
      { hostname: "h1", report: buildReport([{ ...WEB, failed: 1, retried: 3, ejections: 4 }]) },
      {
        hostname: "h2",
        report: buildReport([{ serviceName: "shop_api", network: "shop_default", connections: 5 }]),
      },
      { hostname: "h3", report: undefined },
    ];
    const text = formatTrafficMetrics({ tableVersion: 7, hosts, skipped: 0 });
    const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    const web = 'stack="shop",service="shop_web",port="80/tcp",node="h1"';
    const api = 'service="shop_api",network="shop_default",node="h2"';
    expect(lines).toEqual([
      "berth_table_version 7",
      'berth_node_table_version{node="h1"} 12',
      'berth_node_table_version{node="h2"} 12',
      'berth_traffic_nodes{result="ok"} 2',
      'berth_traffic_nodes{result="partial"} 0',
      'berth_traffic_nodes{result="timeout"} 1',
      'berth_traffic_nodes{result="skipped"} 0',
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

  it("counts the hosts that it skips because the scrape would be too large", () => {
    const large = buildReport(Array.from({ length: 6_000 }, () => WEB));
    const hosts = ["h1", "h2"].map((hostname) => ({ hostname, report: large }));
    const text = formatTrafficMetrics({ tableVersion: 1, hosts, skipped: 3 });
    expect(text).toContain('berth_traffic_nodes{result="ok"} 1\n');
    expect(text).toContain('berth_traffic_nodes{result="skipped"} 4\n');
  });

  it("counts an incomplete report as partial and an older agent's empty report as a timeout", () => {
    const hosts = [
      { hostname: "h1", report: { ...buildReport([WEB]), partial: true } },
      { hostname: "h2", report: TrafficReport.fromPartial({ requestId: "q" }) },
    ];
    const text = formatTrafficMetrics({ tableVersion: 1, hosts, skipped: 0 });
    expect(text).toContain('berth_traffic_nodes{result="ok"} 0\n');
    expect(text).toContain('berth_traffic_nodes{result="partial"} 1\n');
    expect(text).toContain('berth_traffic_nodes{result="timeout"} 1\n');
    expect(text).toMatch(/^berth_service_connections_total\{.*node="h1"\} 9$/m);
    expect(text).not.toContain('node="h2"');
  });
});

describe("formatLabels", () => {
  it("escapes the characters that Prometheus reserves and leaves out empty labels", () => {
    expect(formatLabels({ node: 'a"b\\c\nd', stack: "" })).toBe('{node="a\\"b\\\\c\\nd"}');
    expect(formatLabels({ stack: "" })).toBe("");
  });
});

describe("surveyTraffic", () => {
  function survey(hosts: readonly (readonly [id: string, hostname: string, state?: NodeState])[]) {
    const state = new ClusterState();
    const nodes = hosts.map(([id, hostname, nodeState = NodeState.READY]) =>
      buildNode({ id, state: nodeState, description: { hostname, address: id } }),
    );
    state.apply(nodes.map((node) => ({ change: { kind: "put-node", node }, revision: 1n })));
    const runtime = { clock: new ManualClock(), wallClockMs: () => 0, random: () => 0, newId: () => "q1" };
    const trafficCollector = new TrafficCollector({ runtime, sessionOf: () => undefined });
    return surveyTraffic({ state, trafficCollector, tableVersion: 7 });
  }

  it("lists the hosts that are up and adds the node ID to a hostname that is not unique", async () => {
    const { hosts, skipped } = await survey([
      ["a", "web"],
      ["b", "box"],
      ["c", "box"],
      ["d", "gone", NodeState.DOWN],
    ]);
    expect(hosts.map(({ hostname }) => hostname)).toEqual(["web", "box (b)", "box (c)"]);
    expect(skipped).toBe(0);
  });

  it("skips all hosts of a cluster with more than 250", async () => {
    const many = Array.from({ length: 251 }, (_, index) => [`n${index}`, `h${index}`] as const);
    expect(await survey(many)).toEqual({ tableVersion: 7, hosts: [], skipped: 251 });
  });
});
