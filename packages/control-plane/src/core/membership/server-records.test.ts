import { Node, type Server, Server_State as State } from "@berth/proto";
import { describe, expect, test } from "vitest";
import type { EtcdMember } from "./etcd-membership.js";
import { memberOf } from "./server-members.js";
import {
  expiredServers,
  joinedServer,
  MAX_REMOVED_SERVERS,
  markServerForRemoval,
  planServerHosts,
  planServerRecords,
  type ServerRegistration,
} from "./server-records.js";

const NOW = 5_000;

function registration(id: string, over: Partial<ServerRegistration> = {}): ServerRegistration {
  return {
    ...{ id, hostname: `host-${id}`, address: `10.0.0.${id}:7400`, version: "1.0.0", webUrl: "" },
    keys: [],
    etcd: undefined,
    authorities: [],
    schema: { oldest: 1, newest: 1 },
    certificateExpiresAtMs: 9_000,
    ...over,
  };
}

function server(id: string, over: Partial<Server> = {}): Server {
  const { hostname, address } = registration(id);
  return { id, hostname, address, createdAtMs: 1, state: State.UP, stateSinceMs: 1, ...over };
}

function recordsOf(...servers: readonly Server[]): ReadonlyMap<string, Server> {
  return new Map(servers.map((each) => [each.id, each]));
}

describe("planServerRecords", () => {
  test("creates the record of a server that has none", () => {
    const expected = server("1", { createdAtMs: NOW, stateSinceMs: NOW });
    expect(planServerRecords(recordsOf(), [registration("1")], NOW)).toEqual([expected]);
  });

  test("writes nothing while nothing changes, and nothing for a server of an earlier release", () => {
    const registered = [registration("1"), registration("", { address: "10.0.0.9:7400" })];
    expect(planServerRecords(recordsOf(server("1")), registered, NOW)).toEqual([]);
  });

  test("records when a server went away and came back at another address", () => {
    const [down] = planServerRecords(recordsOf(server("1")), [], NOW);
    expect(down).toEqual(server("1", { state: State.DOWN, stateSinceMs: NOW }));
    const moved = registration("1", { address: "10.0.0.7:7400" });
    expect(planServerRecords(recordsOf(down ?? server("1")), [moved], NOW + 1)).toEqual([
      server("1", { address: "10.0.0.7:7400", stateSinceMs: NOW + 1 }),
    ]);
  });

  test.each([State.REMOVING, State.REMOVED])(
    "keeps a removed server removed that is registered: %s",
    (state) => {
      expect(planServerRecords(recordsOf(server("1", { state })), [registration("1")], NOW)).toEqual([]);
    },
  );
});

describe("planServerHosts", () => {
  const node = (id: string, address: string, hostsServer = false): Node =>
    Node.fromPartial({ id, description: { address }, hostsServer });

  test("marks the nodes that have the address of a server, and no others", () => {
    const servers = recordsOf(
      server("1"),
      server("2", { address: "[fd00::2]:7400" }),
      server("3", { address: "" }),
    );
    const nodes = [node("a", "10.0.0.1"), node("b", "fd00::2"), node("c", "10.0.0.9"), node("d", "")];
    expect(planServerHosts(nodes, servers).map(({ id, hostsServer }) => [id, hostsServer])).toEqual([
      ["a", true],
      ["b", true],
    ]);
  });

  test("clears the mark when the server is removed, and writes nothing while nothing changes", () => {
    const nodes = [node("a", "10.0.0.1", true)];
    expect(planServerHosts(nodes, recordsOf(server("1")))).toEqual([]);
    const removed = recordsOf(server("1", { state: State.REMOVED }));
    expect(planServerHosts(nodes, removed)).toMatchObject([{ id: "a", hostsServer: false }]);
  });
});

describe("markServerForRemoval", () => {
  const options = { force: false, nowMs: NOW };

  test("removes a server that is down beside one that is up", () => {
    const down = server("2", { state: State.DOWN });
    expect(markServerForRemoval(down, recordsOf(server("1"), down), options)).toEqual({
      ...down,
      state: State.REMOVING,
      stateSinceMs: NOW,
    });
  });

  test("removes a server that is up with force only", () => {
    const records = recordsOf(server("1"), server("2"));
    expect(() => markServerForRemoval(server("2"), records, options)).toThrow("it is up");
    expect(markServerForRemoval(server("2"), records, { ...options, force: true }).state).toBe(
      State.REMOVING,
    );
  });

  test("does not remove the last server that is up", () => {
    const records = recordsOf(server("1"), server("2", { state: State.DOWN }));
    expect(() => markServerForRemoval(server("1"), records, { ...options, force: true })).toThrow(
      "no other server is up",
    );
  });

  test("does not remove two servers at once", () => {
    const records = recordsOf(server("1"), server("2"), server("3", { state: State.REMOVING }));
    expect(() => markServerForRemoval(server("2"), records, { ...options, force: true })).toThrow(
      "the removal of server host-3 (10.0.0.3:7400) is in progress",
    );
  });
});

test("expiredServers returns the removed servers beyond the limit that were removed first", () => {
  const removed = Array.from({ length: MAX_REMOVED_SERVERS + 1 }, (_, index) =>
    server(String(index), { state: State.REMOVED, stateSinceMs: 10 + index }),
  );
  expect(expiredServers(recordsOf(server("up"), ...removed))).toEqual(["0"]);
  expect(expiredServers(recordsOf(...removed.slice(1)))).toEqual([]);
});

describe("memberOf", () => {
  const member: EtcdMember = {
    id: "a",
    name: "berth-10.0.0.1",
    isLearner: false,
    clientUrls: [],
    peerUrls: ["https://10.0.0.1:7403"],
  };

  test("returns the member at the address of a server", () => {
    const [own, other] = [server("1"), server("2")];
    expect(memberOf(own, [member], [own, other])).toBe(member);
    expect(memberOf(other, [member], [own, other])).toBeUndefined();
    expect(memberOf(joinedServer("3", "host-3", NOW), [member], [own])).toBeUndefined();
  });

  test("returns the member at an IPv6 address", () => {
    const ipv6 = { ...member, peerUrls: ["https://[fd00::1]:7403"] };
    expect(memberOf(server("1", { address: "[fd00::1]:7400" }), [ipv6], [])).toBe(ipv6);
  });

  test("returns none for a removed server whose address another server has", () => {
    const removed = server("9", { address: "10.0.0.1:7400", state: State.REMOVING });
    expect(memberOf(removed, [member], [server("1")])).toBeUndefined();
    expect(memberOf(removed, [member], [server("2")])).toBe(member);
  });
});
