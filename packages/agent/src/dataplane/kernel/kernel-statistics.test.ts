import { describe, expect, it } from "vitest";
import { countConnections, parseCounters } from "./kernel-statistics.js";

const CONNECTIONS = `tcp      6 431999 ESTABLISHED src=10.77.0.9 dst=10.77.0.1 sport=40000 dport=8080 src=10.77.0.2 dst=10.77.0.1 sport=8001 dport=40000 [ASSURED] mark=2097152 use=1
tcp      6 10 TIME_WAIT src=10.77.0.9 dst=10.77.0.1 sport=40001 dport=8080 src=10.77.0.2 dst=10.77.0.1 sport=8001 dport=40001 [ASSURED] mark=2097152 use=1
tcp      6 431999 ESTABLISHED src=10.77.0.9 dst=10.77.0.1 sport=40002 dport=8080 src=10.77.0.2 dst=10.77.0.1 sport=8001 dport=40002 [ASSURED] mark=2097152 use=1
udp      17 27 src=10.77.0.9 dst=10.77.0.1 sport=6000 dport=5353 [UNREPLIED] src=172.30.0.2 dst=10.77.0.9 sport=53 dport=6000 mark=2097152 use=1
`;

describe("parseCounters()", () => {
  it("reads the counters of a set's elements", () => {
    const element = (address: string, packets: number): unknown => ({
      elem: { val: { concat: [address, "tcp", 8_001] }, counter: { packets, bytes: 1 } },
    });
    const set = { set: { name: "remotes", elem: [element("10.77.0.2", 7), element("10.77.0.3", 0)] } };
    expect(parseCounters(JSON.stringify({ nftables: [{ metainfo: {} }, set] }))).toEqual(
      new Map([
        ["10.77.0.2 . tcp . 8001", 7],
        ["10.77.0.3 . tcp . 8001", 0],
      ]),
    );
    expect(parseCounters("")).toEqual(new Map());
  });

  it("reads the counters of a map by its keys", () => {
    const pair = (val: unknown, packets: number): unknown => [
      { elem: { val, counter: { packets, bytes: 1 } } },
      { jump: { target: "port-tcp-80" } },
    ];
    const map = { map: { name: "ports", elem: [pair({ concat: ["tcp", 80] }, 3), pair("10.64.0.2", 4)] } };
    expect(parseCounters(JSON.stringify({ nftables: [map] }))).toEqual(
      new Map([
        ["tcp . 80", 3],
        ["10.64.0.2", 4],
      ]),
    );
  });
});

it("countConnections() counts open connections by the endpoint that answers", () => {
  expect(countConnections(CONNECTIONS)).toEqual(
    new Map([
      ["10.77.0.2 . tcp . 8001", 2],
      ["172.30.0.2 . udp . 53", 1],
    ]),
  );
});
