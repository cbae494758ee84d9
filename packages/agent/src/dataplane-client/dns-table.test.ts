import { DnsConfig, DnsEntry, TaskState, TaskStatus } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { networkWith } from "../core/networks/testing.js";
import { formatDnsConfig, parseDnsConfig } from "../dataplane/messages/dns-messages.js";
import { dnsConfigOf } from "./dns-table.js";

const entry = DnsEntry.fromPartial({
  key: "net1/s1",
  networkId: "net1",
  serviceId: "s1",
  serviceName: "shop_api",
  stack: "shop",
  names: ["api", "backend"],
  vip: "10.64.0.2",
  endpoints: [{ taskId: "t1", nodeId: "n1", address: "10.64.1.2", slot: 1 }],
  draining: [{ taskId: "t0", nodeId: "n2", address: "10.64.2.2", slot: 1 }],
  inactive: [{ taskId: "t9", nodeId: "n2", address: "10.64.2.9", slot: 2 }],
});
const running = TaskStatus.fromPartial({
  state: TaskState.RUNNING,
  addresses: [
    { networkId: "net1", address: "10.64.1.2" },
    { networkId: "net2", address: "10.65.1.2" },
  ],
});

describe("the DNS configuration", () => {
  test("has the services of all networks and the addresses of running containers", () => {
    const tasks = [
      { status: running, dns: ["192.0.2.53"], links: { DB: "Shop-DB-1" } },
      { status: { ...running, state: TaskState.FAILED }, dns: [], links: {} },
    ];
    const table = parseDnsConfig(dnsConfigOf({ networks: [networkWith()], entries: [entry], tasks }));
    const links = new Map([["db", "shop-db-1"]]);
    expect(table).toEqual({
      networks: [
        {
          id: "net1",
          name: "shop_default",
          stack: "shop",
          subnet: "10.64.0.0/18",
          gateway: "10.64.1.1",
          bridge: "bth4097",
        },
      ],
      services: [
        {
          key: "net1/s1",
          networkId: "net1",
          service: "shop_api",
          stack: "shop",
          names: ["api", "backend"],
          vip: "10.64.0.2",
          hasSourceAffinity: false,
          endpoints: [{ id: "t1", nodeId: "n1", address: "10.64.1.2", slot: 1 }],
          draining: [{ id: "t0", nodeId: "n2", address: "10.64.2.2", slot: 1 }],
        },
      ],
      clients: [
        { address: "10.64.1.2", networkIds: ["net1", "net2"], dns: ["192.0.2.53"], links },
        { address: "10.65.1.2", networkIds: ["net1", "net2"], dns: ["192.0.2.53"], links },
      ],
    });
    const bytes = DnsConfig.encode(formatDnsConfig(table)).finish();
    expect(parseDnsConfig(DnsConfig.decode(bytes))).toEqual(table);
  });

  test.each([
    ["gateway", "example.com"],
    ["subnet", "10.64.0.0/18; flush ruleset"],
    ["bridge", "bth1\naddress flush"],
  ])("rejects a DNS configuration when the %s of a network is invalid", (field, value) => {
    const config = dnsConfigOf({ networks: [networkWith()], entries: [], tasks: [] });
    const networks = config.networks.map((network) => ({ ...network, [field]: value }));
    expect(() => parseDnsConfig({ ...config, networks })).toThrow(
      `network shop_default: ${JSON.stringify(value)}`,
    );
  });

  test("omits addresses of services and containers that are invalid", () => {
    const wrong = DnsEntry.fromPartial({
      ...entry,
      vip: "none",
      endpoints: [{ taskId: "t2", nodeId: "n1", address: "fd00::2" }, ...entry.endpoints],
      draining: [{ taskId: "t3", nodeId: "n1", address: "" }],
    });
    const addresses = [{ networkId: "net1", address: "somewhere", macAddress: "" }, ...running.addresses];
    const tasks = [
      { status: { ...running, addresses }, dns: ["dns.example.com", "2001:db8::53"], links: {} },
    ];
    const table = parseDnsConfig(dnsConfigOf({ networks: [networkWith()], entries: [wrong], tasks }));
    expect(table.services[0]).toMatchObject({ vip: "", endpoints: [{ id: "t1" }], draining: [] });
    expect(table.clients.map(({ address, dns }) => [address, ...dns])).toEqual([
      ["10.64.1.2", "2001:db8::53"],
      ["10.65.1.2", "2001:db8::53"],
    ]);
  });
});
