import { Authority, type EtcdAuthorities, Authority_State as State } from "@berth/proto";
import { describe, expect, it } from "vitest";
import {
  canceledEtcdRotation,
  type EtcdServer,
  planEtcdRotation,
  startedEtcdRotation,
  trustedAuthorities,
} from "./etcd-rotation.js";

const NOW_MS = 1_000;
const OLD = Authority.fromPartial({ fingerprint: "old", state: State.ISSUING });
const NEW = Authority.fromPartial({ fingerprint: "new", state: State.ISSUING, createdAtMs: NOW_MS });
const STARTED = startedEtcdRotation(OLD, NEW);

function server(id: string, issuer = "old", trusted: readonly string[] = ["old"]): EtcdServer {
  return { id, name: `${id}:7400`, trust: { issuer, trusted } };
}

function plan(record: EtcdAuthorities | undefined, servers: readonly EtcdServer[], leaderId = "a") {
  return planEtcdRotation(record, servers, leaderId, NOW_MS);
}

function statesOf({ authorities }: EtcdAuthorities): Readonly<Record<string, State>> {
  return Object.fromEntries(authorities.map(({ fingerprint, state }) => [fingerprint, state]));
}

describe("planEtcdRotation()", () => {
  it("does nothing before the first rotation and after one", () => {
    expect(plan(undefined, [server("a")])).toEqual({ kind: "none" });
    const ended = { authorities: [NEW], restartingServer: "" };
    expect(plan(ended, [server("a", "new", ["new"])])).toEqual({ kind: "none" });
  });

  it.each<[string, readonly EtcdServer[], readonly string[]]>([
    ["the servers are not known", [], []],
    [
      "a server is down",
      [server("a"), server("b"), { id: "c", name: "c:7400", trust: undefined }],
      ["c:7400"],
    ],
  ])("restarts no etcd while %s", (_, servers, waitingFor) => {
    expect(plan(STARTED, servers)).toEqual({ kind: "wait", servers: waitingFor });
  });

  it("lets one etcd restart at a time, that of the leader last", () => {
    const servers = [server("a"), server("b"), server("c")];
    const first = plan(STARTED, servers);
    expect(first).toMatchObject({ kind: "restart", record: { restartingServer: "b" } });
    const restarting = { ...STARTED, restartingServer: "b" };
    expect(plan(restarting, servers)).toEqual({ kind: "wait", servers: ["b:7400"] });
    const done = (id: string): EtcdServer => server(id, "old", ["new", "old"]);
    const second = plan(restarting, [server("a"), done("b"), server("c")]);
    expect(second).toMatchObject({ kind: "restart", record: { restartingServer: "c" } });
    const third = plan({ ...STARTED, restartingServer: "c" }, [server("a"), done("b"), done("c")]);
    expect(third).toMatchObject({ kind: "restart", record: { restartingServer: "a" } });
  });

  it("issues no certificate of an authority that an etcd does not trust, and ends with the new one alone", () => {
    // Each server does what the record says, one after another, as in a cluster. A leader can die between all steps.
    let record = STARTED;
    const servers = new Map(["a", "b", "c"].map((id) => [id, server(id)]));
    const seen: string[] = [];
    for (let count = 0; count < 100 && record.authorities.length > 1; count += 1) {
      const step = plan(record, [...servers.values()], ["a", "b", "c"][count % 3]);
      if (step.kind === "restart" || step.kind === "advance") record = step.record;
      if (step.kind === "advance") seen.push(JSON.stringify(statesOf(record)));
      const trusted = trustedAuthorities(record).map(({ fingerprint }) => fingerprint);
      const issuer = record.authorities.find(({ state }) => state === State.ISSUING)?.fingerprint ?? "";
      const id = ["a", "b", "c"][count % 3] ?? "";
      const before = servers.get(id)?.trust?.trusted ?? [];
      servers.set(id, server(id, issuer, id === record.restartingServer ? trusted : before));
      const all = [...servers.values()].map(({ trust }) => trust);
      for (const one of all) for (const other of all) expect(other?.trusted).toContain(one?.issuer);
    }
    expect(seen).toEqual([
      JSON.stringify({ old: State.RETIRING, new: State.ISSUING }),
      JSON.stringify({ old: State.REMOVING, new: State.ISSUING }),
      JSON.stringify({ new: State.ISSUING }),
    ]);
    expect([...servers.values()].map(({ trust }) => trust?.trusted)).toEqual([["new"], ["new"], ["new"]]);
  });

  it("keeps the earlier authority until no server has a certificate of it, whether the server runs or not", () => {
    const retiring: EtcdAuthorities = {
      authorities: [
        { ...OLD, state: State.RETIRING },
        { ...NEW, state: State.ISSUING },
      ],
      restartingServer: "",
    };
    const both = ["old", "new"];
    const waiting = [server("a", "new", both), server("b", "old", both)];
    expect(plan(retiring, waiting)).toEqual({ kind: "wait", servers: ["b:7400"] });
    const off = [server("a", "new", both), { id: "b", name: "b:7400", trust: undefined }];
    expect(plan(retiring, off)).toEqual({ kind: "wait", servers: ["b:7400"] });
  });

  it("lets the etcds that trust the new authority restart again after a cancellation", () => {
    const canceled = canceledEtcdRotation(STARTED, NOW_MS);
    const servers = [server("a"), server("b", "old", ["old", "new"])];
    expect(plan(canceled, servers)).toMatchObject({ kind: "restart", record: { restartingServer: "b" } });
    const step = plan(canceled, [server("a"), server("b")]);
    expect(step.kind === "advance" && statesOf(step.record)).toEqual({ old: State.ISSUING });
  });
});
