import { describe, expect, it } from "vitest";
import type { IngressListener, ListenerStats } from "../table/ingress-table.js";
import { KernelCounters } from "./kernel-counters.js";
import type { KernelStatistics } from "./kernel-statistics.js";

const PORTS = [80, 81];
const endpoint = (id: string, node: string, port: number) =>
  ({ id, node, address: "10.0.0.2", port, route: { kind: "forward" } }) as const;
const ONE = endpoint("t1", "n1", 32_768);
const TWO = endpoint("t2", "n2", 32_769);

const listeners = (endpoints: readonly (typeof ONE)[] = [ONE]): readonly IngressListener[] =>
  PORTS.map((port) => ({ protocol: "tcp", address: "", port, service: "web", endpoints, draining: [] }));
const stats = (endpoints: readonly (typeof ONE)[] = [ONE]): readonly ListenerStats[] =>
  PORTS.map((port) => ({
    protocol: "tcp",
    address: "",
    port,
    service: "web",
    stack: "",
    total: 1,
    active: 1,
    failed: 0,
    retried: 0,
    ejections: 0,
    held: 0,
    heldTotal: 0,
    heldRefused: 0,
    endpoints: endpoints.map((fields) => ({ ...fields, state: "serving", total: 1, active: 1, failed: 0 })),
    nodes: ["n1", "n2"].map((node) => ({ node, total: 1, failed: 0 })),
  }));
const statisticsOf = (
  counts: {
    readonly [Kind in keyof KernelStatistics]?: Readonly<Record<string, number>>;
  },
): KernelStatistics => {
  const of = (kind: keyof KernelStatistics) => new Map(Object.entries(counts[kind] ?? {}));
  return { frontends: of("frontends"), sent: of("sent"), refused: of("refused"), active: of("active") };
};

describe("KernelCounters", () => {
  it("adds the kernel's counts to those of the process, once for an endpoint behind two ports", () => {
    const counters = new KernelCounters();
    const element = "10.0.0.2 . tcp . 32768";
    const frontends = { "tcp . 80": 10, "tcp . 81": 4, "tcp . 9999": 5 };
    const all = { sent: { [element]: 14 }, refused: { [element]: 2 }, active: { [element]: 3 } };
    counters.update(listeners(), statisticsOf({ frontends, ...all }));
    const [first, second] = counters.addTo(stats(), listeners());
    expect(first).toMatchObject({
      total: 9,
      active: 4,
      retried: 2,
      endpoints: [{ total: 15, active: 4, failed: 2 }],
      nodes: [
        { node: "n1", total: 15, failed: 2 },
        { node: "n2", total: 1, failed: 0 },
      ],
    });
    expect(second).toMatchObject({ total: 5, active: 1, retried: 0 });
  });

  it("continues to count when endpoints are removed and when the table is reloaded", () => {
    const counters = new KernelCounters();
    const totalsAfter = (
      endpoints: readonly (typeof ONE)[],
      frontend: number,
      sent: Record<string, number>,
    ) => {
      counters.update(listeners(endpoints), statisticsOf({ frontends: { "tcp . 80": frontend }, sent }));
      const [{ total, nodes } = stats()[0] as ListenerStats] = counters.addTo(
        stats(endpoints),
        listeners(endpoints),
      );
      return [total, ...nodes.map((node) => node.total)];
    };
    const [one, two] = ["10.0.0.2 . tcp . 32768", "10.0.0.2 . tcp . 32769"];
    expect(totalsAfter([ONE], 10, { [one]: 10 })).toEqual([11, 11, 1]);
    expect(totalsAfter([TWO], 16, { [two]: 4 })).toEqual([17, 11, 5]);
    expect(totalsAfter([TWO], 2, { [two]: 2 })).toEqual([19, 11, 7]);
  });

  it("counts a retransmitted SYN as a retry, not as another connection", () => {
    const counters = new KernelCounters();
    const clients = [80, 80, 9_999].map((port) => ({ address: "10.0.0.1", port }));
    counters.countRetransmitted(clients, listeners());
    counters.update(listeners(), statisticsOf({ frontends: { "tcp . 80": 10 } }));
    expect(counters.addTo(stats(), listeners())).toMatchObject([
      { total: 9, retried: 2 },
      { total: 1, retried: 0 },
    ]);
  });

  it("never decreases the total when a refusal is counted before its connection", () => {
    const counters = new KernelCounters();
    const refused = { "10.0.0.2 . tcp . 32768": 3 };
    counters.update(listeners(), statisticsOf({ frontends: { "tcp . 80": 10 } }));
    expect(counters.addTo(stats(), listeners())[0]).toMatchObject({ total: 11 });
    counters.update(listeners(), statisticsOf({ frontends: { "tcp . 80": 10 }, refused }));
    expect(counters.addTo(stats(), listeners())[0]).toMatchObject({ total: 11, retried: 3 });
    counters.update([], statisticsOf({}));
    expect(counters.addTo(stats(), listeners())[0]).toMatchObject({ total: 1, retried: 0 });
  });
});
