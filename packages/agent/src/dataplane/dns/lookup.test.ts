import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DnsIndex } from "./dns-index.js";
import type { DnsService, DnsTable } from "./dns-table.js";
import { type Answer, lookup, mayQuery } from "./lookup.js";

const DEFAULT = {
  id: "n1",
  name: "shop_default",
  stack: "shop",
  subnet: "10.64.0.0/18",
  gateway: "10.64.8.1",
  bridge: "b1",
};
const BACK = {
  ...DEFAULT,
  id: "n2",
  name: "shop_back",
  subnet: "10.64.64.0/18",
  gateway: "10.64.72.1",
  bridge: "b2",
};
const OTHER = {
  ...DEFAULT,
  id: "n3",
  name: "blog_default",
  stack: "blog",
  subnet: "10.64.128.0/18",
  gateway: "10.64.136.1",
  bridge: "b3",
};
const WEB = "10.64.8.2";
const DB = "10.64.72.2";
const BLOG = "10.64.136.2";

function service(fields: Partial<DnsService> & Pick<DnsService, "service">): DnsService {
  const networkId = fields.networkId ?? "n1";
  return {
    key: `${networkId}/${fields.service}`,
    networkId,
    stack: "shop",
    names: [fields.service.replace(/^[^_]*_/, "")],
    vip: "",
    endpoints: [],
    draining: [],
    ...fields,
  };
}

const API = service({
  service: "shop_api",
  names: ["api", "Backend.example.com"],
  vip: "10.64.0.2",
  endpoints: [
    { id: "t1", nodeId: "h1", address: "10.64.8.5", slot: 1 },
    { id: "t2", nodeId: "h2", address: "10.64.9.5", slot: 2 },
  ],
  draining: [{ id: "t0", nodeId: "h2", address: "10.64.9.9", slot: 1 }],
});

const TABLE: DnsTable = {
  networks: [DEFAULT, BACK, OTHER],
  services: [
    API,
    service({
      service: "shop_db",
      networkId: "n2",
      endpoints: [{ id: "t3", nodeId: "h1", address: "10.64.72.5", slot: 1 }],
    }),
    service({ service: "blog_api", networkId: "n3", stack: "blog", vip: "10.64.128.2" }),
    service({ service: "shop_idle" }),
  ],
  clients: [
    { address: WEB, networkIds: ["n1", "n2"], dns: [] },
    { address: DB, networkIds: ["n2"], dns: ["192.0.2.53"] },
    { address: BLOG, networkIds: ["n3"], dns: [] },
  ],
};
const INDEX = new DnsIndex(TABLE);

function ask(
  name: string,
  { from = WEB, type = "A", isVipActive = true, gateway = DEFAULT.gateway } = {},
): Answer {
  return lookup(INDEX, { name, type, from, gateway }, { random: () => 0, isVipActive: () => isVipActive });
}

const addressesOf = (answer: Answer): readonly string[] =>
  answer.kind === "addresses" ? [...answer.addresses].sort() : [answer.kind];

describe("lookup", () => {
  it.each([
    "api",
    "API",
    "api.",
    "shop_api",
    "api.default",
    "api.shop_default",
    "api.shop",
    "api.shop.internal",
    "api.default.internal",
    "backend.example.com",
  ])("resolves %s to the service's virtual IP", (name) => {
    expect(ask(name)).toEqual({ kind: "addresses", ttlS: 30, addresses: ["10.64.0.2"] });
  });

  it.each(["tasks.api", "tasks.shop_api", "tasks.api.shop", "tasks.api.shop_default.internal"])(
    "resolves %s to all healthy tasks",
    (name) => {
      expect(addressesOf(ask(name))).toEqual(["10.64.8.5", "10.64.9.5"]);
    },
  );

  it("resolves a slot number to the task of the slot", () => {
    expect(addressesOf(ask("2.api"))).toEqual(["10.64.9.5"]);
    expect(addressesOf(ask("2.api.shop"))).toEqual(["10.64.9.5"]);
    expect(ask("3.api")).toEqual({ kind: "unknown" });
  });

  it.each([
    ["a service", "api", ["10.64.0.2"]],
    ["the full name of a service", "shop_api", ["10.64.0.2"]],
    ["the second container of a Compose project", "shop-api-2", ["10.64.9.5"]],
    ["a container of the first version of Compose", "shop_api_1", ["10.64.8.5"]],
    ["a container that does not exist", "shop-api-9", ["unknown"]],
  ])("resolves the link of a client to %s", (_, name, addresses) => {
    const links = new Map([["store", name]]);
    const index = new DnsIndex({ ...TABLE, clients: [{ address: WEB, networkIds: ["n1"], dns: [], links }] });
    const answer = (from: string): Answer =>
      lookup(
        index,
        { name: "STORE", type: "A", from, gateway: DEFAULT.gateway },
        { random: () => 0, isVipActive: () => true },
      );
    expect(addressesOf(answer(WEB))).toEqual(addresses);
    expect(answer("10.64.8.3")).toEqual({ kind: "unknown" });
  });

  it("prefers a link to a service of the same name, unless nothing has the name that it links to", () => {
    const resolve = (target: string): Answer => {
      const client = { address: WEB, networkIds: ["n1", "n2"], dns: [], links: new Map([["db", target]]) };
      const index = new DnsIndex({ ...TABLE, clients: [client] });
      return lookup(
        index,
        { name: "db", type: "A", from: WEB, gateway: DEFAULT.gateway },
        { random: () => 0, isVipActive: () => true },
      );
    };
    expect(addressesOf(resolve("api"))).toEqual(["10.64.0.2"]);
    expect(addressesOf(resolve("nothing"))).toEqual(["10.64.72.5"]);
  });

  it("returns the tasks when the virtual IP is inactive or the service has none", () => {
    expect(addressesOf(ask("api", { isVipActive: false }))).toEqual(["10.64.8.5", "10.64.9.5"]);
    expect(addressesOf(ask("db"))).toEqual(["10.64.72.5"]);
  });

  it("returns the same task first for a client of a service with source affinity", () => {
    const services = TABLE.services.map((service) =>
      service === API ? { ...API, hasSourceAffinity: true } : service,
    );
    const index = new DnsIndex({ ...TABLE, services });
    const firstFor = (from: string, draw: number): string | undefined => {
      const query = { name: "tasks.api", type: "A", from, gateway: DEFAULT.gateway };
      const answer = lookup(index, query, { random: () => draw, isVipActive: () => false });
      return answer.kind === "addresses" ? answer.addresses[0] : undefined;
    };
    const clients = Array.from({ length: 20 }, (_, index) => `10.64.8.${index + 10}`);
    for (const from of clients) expect(firstFor(from, 0.9)).toBe(firstFor(from, 0));
    expect(new Set(clients.map((from) => firstFor(from, 0)))).toEqual(new Set(["10.64.8.5", "10.64.9.5"]));
  });

  it("resolves only names in the client's networks", () => {
    expect(addressesOf(ask("db", { from: DB }))).toEqual(["10.64.72.5"]);
    expect(ask("api", { from: DB })).toEqual({ kind: "unknown" });
    expect(ask("db.back", { from: BLOG })).toEqual({ kind: "forward", servers: [] });
    expect(addressesOf(ask("api", { from: BLOG }))).toEqual(["10.64.128.2"]);
  });

  it("mayQuery accepts containers and members of the network, but not a neighbor", () => {
    const addresses = ["10.64.8.99", DB, BLOG, "192.0.2.1", "10.65.0.1", "2001:db8::1"];
    const accepted = addresses.filter((from) => mayQuery(INDEX, { from, gateway: DEFAULT.gateway }));
    expect(accepted).toEqual(["10.64.8.99", DB, BLOG]);
    expect(mayQuery(INDEX, { from: "10.64.8.99", gateway: "192.0.2.2" })).toBe(false);
  });

  it("treats a foreign container as a member of the network whose gateway it queries", () => {
    expect(addressesOf(ask("api", { from: "10.64.8.99" }))).toEqual(["10.64.0.2"]);
    expect(addressesOf(ask("api", { from: "10.64.8.99", gateway: OTHER.gateway }))).toEqual(["10.64.128.2"]);
    expect(ask("api", { from: "192.0.2.1", gateway: "192.0.2.2" })).toEqual({ kind: "unknown" });
  });

  it("returns an empty answer, not an unknown name, for a record type that a known name does not have", () => {
    expect(ask("api", { type: "AAAA" })).toEqual({ kind: "empty" });
    expect(ask("tasks.api", { type: "MX" })).toEqual({ kind: "empty" });
    expect(ask("idle")).toEqual({ kind: "empty" });
  });

  it("forwards names with a dot, but not names without one", () => {
    expect(ask("example.com")).toEqual({ kind: "forward", servers: [] });
    expect(ask("example.com", { from: DB })).toEqual({ kind: "forward", servers: ["192.0.2.53"] });
    expect(ask("nosuch")).toEqual({ kind: "unknown" });
    expect(ask("metadata.google.internal")).toEqual({ kind: "forward", servers: [] });
  });

  it("forwards nothing for clients that are in internal networks only", () => {
    const index = new DnsIndex({ ...TABLE, networks: [DEFAULT, { ...BACK, isInternal: true }] });
    const lookupInternal = (name: string, from: string, type = "A") =>
      lookup(
        index,
        { name, type, from, gateway: BACK.gateway },
        { random: () => 0, isVipActive: () => true },
      );
    expect(addressesOf(lookupInternal("db", DB))).toEqual(["10.64.72.5"]);
    for (const from of [DB, "10.64.72.99"]) {
      expect(lookupInternal("example.com", from)).toEqual({ kind: "unknown" });
      expect(lookupInternal("7.2.0.192.in-addr.arpa", from, "PTR")).toEqual({ kind: "unknown" });
    }
    expect(lookupInternal("example.com", WEB)).toEqual({ kind: "forward", servers: [] });
  });

  it("resolves addresses in the client's networks to names", () => {
    const ptr = (address: string, from = WEB): Answer =>
      ask(`${address.split(".").reverse().join(".")}.in-addr.arpa`, { type: "PTR", from });
    expect(ptr("10.64.0.2")).toMatchObject({ kind: "name", name: "api.shop_default" });
    expect(ptr("10.64.9.5")).toMatchObject({ kind: "name", name: "2.api.shop_default" });
    expect(ptr("10.64.9.9")).toMatchObject({ kind: "name", name: "1.api.shop_default" });
    expect(ptr("10.64.0.2", BLOG)).toEqual({ kind: "forward", servers: [] });
    expect(ptr("192.0.2.7")).toEqual({ kind: "forward", servers: [] });
    expect(ptr("10.64.8.77")).toEqual({ kind: "unknown" });
  });

  it("shuffles the addresses and returns all of them", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.ipV4(), { maxLength: 20 }),
        fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
        (list, chance) => {
          const endpoints = list.map((address, index) => ({
            id: `t${index}`,
            nodeId: "h",
            address,
            slot: index + 1,
          }));
          const dnsIndex = new DnsIndex({ ...TABLE, services: [{ ...API, vip: "", endpoints }] });
          const options = { random: () => chance.next().value ?? 0, isVipActive: () => true };
          const answer = lookup(dnsIndex, { name: "api", type: "A", from: WEB, gateway: "" }, options);
          expect(addressesOf(answer)).toEqual(list.length === 0 ? ["empty"] : [...list].sort());
        },
      ),
    );
  });
});
