import { DnsEntry, TaskState, TaskStatus } from "@berth/proto";
import { expect, test } from "vitest";
import { networkWith } from "../core/networks/testing.js";
import { parseNames } from "../dataplane/control/names-codec.js";
import { dnsTableOf } from "./dns-table.js";

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
});
const running = TaskStatus.fromPartial({
  state: TaskState.RUNNING,
  addresses: [
    { networkId: "net1", address: "10.64.1.2" },
    { networkId: "net2", address: "10.65.1.2" },
  ],
});

test("namesOf says who answers to what, and who may ask, in words that the ingress process takes", () => {
  const tasks = [
    { status: running, dns: ["192.0.2.53"] },
    { status: { ...running, state: TaskState.FAILED }, dns: [] },
  ];
  const names = dnsTableOf({ networks: [networkWith()], entries: [entry], tasks });
  expect(names).toEqual({
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
      { address: "10.64.1.2", networkIds: ["net1", "net2"], dns: ["192.0.2.53"] },
      { address: "10.65.1.2", networkIds: ["net1", "net2"], dns: ["192.0.2.53"] },
    ],
  });
  expect(parseNames(JSON.parse(JSON.stringify(names)))).toEqual(names);
});

test("parseNames takes nothing that is not whole", () => {
  const names = dnsTableOf({ networks: [networkWith()], entries: [entry], tasks: [] });
  const [network] = names.networks;
  const [service] = names.services;
  expect(parseNames(undefined)).toBeUndefined();
  expect(parseNames({ ...names, networks: [{ ...network, gateway: "example.com" }] })).toBeUndefined();
  expect(parseNames({ ...names, services: [{ ...service, vip: "x" }] })).toBeUndefined();
  expect(parseNames({ ...names, services: [{ ...service, endpoints: [{ id: "t" }] }] })).toBeUndefined();
  const asker = { address: "10.64.1.2", networkIds: [], dns: ["$(reboot)"] };
  expect(parseNames({ ...names, clients: [asker] })).toBeUndefined();
});

test("namesOf leaves out what is no address, so that the ingress process takes the rest", () => {
  const wrong = DnsEntry.fromPartial({
    ...entry,
    vip: "nobody",
    endpoints: [{ taskId: "t2", nodeId: "n1", address: "fd00::2" }, ...entry.endpoints],
    draining: [{ taskId: "t3", nodeId: "n1", address: "" }],
  });
  const addresses = [{ networkId: "net1", address: "somewhere", macAddress: "" }, ...running.addresses];
  const tasks = [{ status: { ...running, addresses }, dns: ["dns.example.com", "2001:db8::53"] }];
  const names = dnsTableOf({ networks: [networkWith()], entries: [wrong], tasks });
  expect(parseNames(names)).toEqual(names);
  expect(names.services[0]).toMatchObject({ vip: "", endpoints: [{ id: "t1" }], draining: [] });
  expect(names.clients.map(({ address, dns }) => [address, ...dns])).toEqual([
    ["10.64.1.2", "2001:db8::53"],
    ["10.65.1.2", "2001:db8::53"],
  ]);
});
