import { describe, expect, it } from "vitest";
import type { IngressListener, ListenerStats } from "../table.js";
import { addStatistics } from "./add-statistics.js";
import { countConnections, parseCounters } from "./statistics.js";

const CONNECTIONS = `tcp      6 431999 ESTABLISHED src=10.77.0.9 dst=10.77.0.1 sport=40000 dport=8080 src=10.77.0.2 dst=10.77.0.1 sport=8001 dport=40000 [ASSURED] mark=2097152 use=1
tcp      6 10 TIME_WAIT src=10.77.0.9 dst=10.77.0.1 sport=40001 dport=8080 src=10.77.0.2 dst=10.77.0.1 sport=8001 dport=40001 [ASSURED] mark=2097152 use=1
tcp      6 431999 ESTABLISHED src=10.77.0.9 dst=10.77.0.1 sport=40002 dport=8080 src=10.77.0.2 dst=10.77.0.1 sport=8001 dport=40002 [ASSURED] mark=2097152 use=1
udp      17 27 src=10.77.0.9 dst=10.77.0.1 sport=6000 dport=5353 [UNREPLIED] src=172.30.0.2 dst=10.77.0.9 sport=53 dport=6000 mark=2097152 use=1
`;

describe("what the kernel counts", () => {
  it("is read from nft's elements", () => {
    const elem = (address: string, packets: number): unknown => ({
      elem: { val: { concat: [address, "tcp", 8_001] }, counter: { packets, bytes: 1 } },
    });
    const set = { set: { name: "remotes", elem: [elem("10.77.0.2", 7), elem("10.77.0.3", 0)] } };
    expect(parseCounters(JSON.stringify({ nftables: [{ metainfo: {} }, set] }))).toEqual(
      new Map([
        ["10.77.0.2 . tcp . 8001", 7],
        ["10.77.0.3 . tcp . 8001", 0],
      ]),
    );
    expect(parseCounters("")).toEqual(new Map());
  });

  it("is what is open, by who answers", () => {
    expect(countConnections(CONNECTIONS)).toEqual(
      new Map([
        ["10.77.0.2 . tcp . 8001", 2],
        ["172.30.0.2 . udp . 53", 1],
      ]),
    );
  });

  it("adds to what the process counted, once for an endpoint behind two ports", () => {
    const endpoint = { id: "t1", address: "10.0.0.2", port: 32_768, route: { kind: "forward" } } as const;
    const listeners = [80, 81].map(
      (port): IngressListener => ({
        protocol: "tcp",
        address: "",
        port,
        service: "web",
        endpoints: [endpoint],
        draining: [],
      }),
    );
    const stats = listeners.map(
      ({ port }): ListenerStats => ({
        ...{ protocol: "tcp", address: "", port, service: "web", total: 1, active: 1, failed: 0, retried: 0 },
        endpoints: [{ ...endpoint, state: "serving", total: 1, active: 1, failed: 0 }],
      }),
    );
    const counted = new Map([["10.0.0.2 . tcp . 32768", { total: 10, active: 3, refused: 2 }]]);
    const [first, second] = addStatistics(stats, listeners, { endpoints: counted, fellThrough: 0 });
    expect(first).toMatchObject({
      total: 11,
      active: 4,
      retried: 2,
      endpoints: [{ total: 11, active: 4, failed: 2 }],
    });
    expect(second).toMatchObject({ total: 1, active: 1, retried: 0 });
  });
});
