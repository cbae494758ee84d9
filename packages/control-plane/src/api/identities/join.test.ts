import { JoinKind, JoinToken, NodeState, User } from "@berth/proto";
import { formatJoinToken, parseJoinToken } from "@berth/proto/identity";
import { describe, expect, it } from "vitest";
import { MAX_NODES, MAX_SERVERS, MAX_WAITING_NODES } from "../../core/membership/member-limits.js";
import type { Change } from "../../state/change.js";
import { ClusterState } from "../../state/cluster-state.js";
import { decideAdmission, type Joiner } from "./join.js";
import { newTokenRecord, tokenCreationChanges } from "./join-tokens.js";

const TTL_MS = 60_000;

function tokenText(kind: JoinKind, seed = 7): string {
  return formatJoinToken(kind, "ab".repeat(32), Buffer.alloc(16, seed));
}

/** A state with a token, and the requests of hosts that present it. */
function clusterWith({
  kind = JoinKind.NODE as JoinKind,
  uses = 1,
  requiresApproval = false,
  subject = "",
  labels = {},
} = {}) {
  const state = new ClusterState();
  const text = tokenText(kind);
  const record = newTokenRecord(text, { ttlMs: TTL_MS, uses, subject, requiresApproval, labels }, 0);
  state.joinTokens.set(record.id, record);
  let ids = 0;
  const join = (keyHash: string, nowMs = 0) => {
    ids += 1;
    const joiner: Joiner = { token: parseJoinToken(text), hostname: "host1", keyHash, newId: `id${ids}` };
    const { changes, result } = decideAdmission(joiner, state, nowMs);
    for (const change of changes) apply(state, change);
    return result;
  };
  const stored = (): JoinToken => state.joinTokens.get(record.id) ?? JoinToken.fromPartial({});
  return { state, join, stored };
}

function apply(state: ClusterState, change: Change): void {
  if (change.kind === "put-joinToken") {
    state.joinTokens.set(change.joinToken.id, change.joinToken);
  } else if (change.kind === "put-node") {
    state.nodes.put(change.node);
  } else if (change.kind === "put-server") {
    state.servers.set(change.server.id, change.server);
  } else if (change.kind === "put-user") {
    state.users.set(change.user.name, change.user);
  } else {
    throw new Error(`unexpected change ${change.kind}`);
  }
}

const usedUp = expect.objectContaining({ code: "BERTH_TOKEN_INVALID", details: { reason: "used-up" } });

describe("join-pin: decideAdmission()", () => {
  it.each([
    ["node", JoinKind.NODE],
    ["server", JoinKind.SERVER],
  ])("gives a repeated request of a %s the same id, and counts one use", (_, kind) => {
    const { state, join, stored } = clusterWith({ kind });
    const first = join("key1");
    expect(join("key1")).toEqual(first);
    expect(stored().usesLeft).toBe(0);
    expect(state.nodes.size).toBe(kind === JoinKind.NODE ? 1 : 0);
    expect(() => join("key2")).toThrow(usedUp);
  });

  it("gives a repeated request of a user the same name", () => {
    const { state, join } = clusterWith({ kind: JoinKind.USER, subject: "vera" });
    state.users.set("vera", User.fromPartial({ name: "vera", certificateName: "vera.aaaaaa" }));
    expect(join("key1").identity).toEqual({ kind: "user", name: "vera.aaaaaa" });
    expect(join("key1").identity).toEqual({ kind: "user", name: "vera.aaaaaa" });
    expect(() => join("key2")).toThrow(usedUp);
  });

  it("answers repeated requests until the token expires, and at most 10 times", () => {
    const { join } = clusterWith();
    join("key1");
    for (let repeats = 1; repeats <= 10; repeats += 1) join("key1", TTL_MS - 1);
    expect(() => join("key1", TTL_MS - 1)).toThrow(usedUp);
    const other = clusterWith();
    other.join("key1");
    expect(() => other.join("key1", TTL_MS)).toThrow(
      expect.objectContaining({ details: { reason: "expired" } }),
    );
  });

  it("does not readmit a node that was removed", () => {
    const { state, join } = clusterWith();
    join("key1");
    state.nodes.delete("id1");
    expect(() => join("key1")).toThrow(usedUp);
  });

  it("says in a repeated response whether the node still waits for approval", () => {
    const { state, join } = clusterWith({ requiresApproval: true });
    expect(join("key1").awaitsApproval).toBe(true);
    expect(join("key1").awaitsApproval).toBe(true);
    const node = state.nodes.get("id1");
    if (node !== undefined) state.nodes.put({ ...node, awaitsApproval: false });
    expect(join("key1").awaitsApproval).toBe(false);
    expect(node?.state).toBe(NodeState.DOWN);
  });

  it.each([
    ["nodes", { kind: JoinKind.NODE }, MAX_NODES],
    ["nodes that wait for approval", { kind: JoinKind.NODE, requiresApproval: true }, MAX_WAITING_NODES],
    ["servers", { kind: JoinKind.SERVER }, MAX_SERVERS],
  ])("limits the number of %s, and counts no use beyond it", (_, token, limit) => {
    const { state, join, stored } = clusterWith({ ...token, uses: limit + 1 });
    for (let count = 1; count <= limit; count++) join(`key${count}`);
    const { usesLeft } = stored();
    expect(() => join("one too many")).toThrow(expect.objectContaining({ code: "BERTH_LIMIT_EXCEEDED" }));
    expect(stored().usesLeft).toBe(usesLeft);
    expect(token.kind === JoinKind.NODE ? state.nodes.size : state.servers.size).toBe(limit);
  });

  it("gives a node the labels of its token from the start", () => {
    const { state, join } = clusterWith({ labels: { zone: "b" } });
    join("key1");
    expect(state.nodes.get("id1")?.labels).toEqual({ zone: "b" });
  });

  it("keeps the newest 64 admissions of a token", () => {
    const { join, stored } = clusterWith({ uses: 100 });
    for (let host = 1; host <= 70; host += 1) join(`key${host}`);
    expect(stored().admissions).toHaveLength(64);
    expect(join("key70").identity).toEqual({ kind: "node", id: "id70" });
    expect(stored().usesLeft).toBe(30);
  });
});

describe("tokenCreationChanges()", () => {
  const record = newTokenRecord(
    tokenText(JoinKind.NODE, 9),
    { ttlMs: TTL_MS, uses: 1, subject: "", requiresApproval: false, labels: {} },
    0,
  );
  const removed = (tokens: readonly JoinToken[], nowMs = 0): unknown[] => {
    const joinTokens = new Map(tokens.map((token) => [token.id, token]));
    return tokenCreationChanges(record, { joinTokens }, nowMs, () => false).flatMap((change) =>
      change.kind === "delete-joinToken" ? [change.tokenId] : [],
    );
  };
  const used = JoinToken.fromPartial({ id: "used", usesLeft: 0, expiresAtMs: TTL_MS });

  it("keeps a token that is used up until it expires", () => {
    expect(removed([used], TTL_MS - 1)).toEqual([]);
    expect(removed([used], TTL_MS)).toEqual(["used"]);
  });

  it("removes tokens that are used up when there are too many tokens", () => {
    const others = Array.from({ length: 999 }, (_, i) => ({ ...used, id: `t${i}`, usesLeft: 1 }));
    expect(removed([used, ...others])).toEqual(["used"]);
  });
});
