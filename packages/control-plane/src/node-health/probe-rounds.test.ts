import type { ProbeRequest } from "@berth/proto";
import { beforeEach, describe, expect, it } from "vitest";
import type { ProbeVotes } from "../core/node-health/probe-votes.js";
import { ManualClock } from "../testing/manual-clock.js";
import { ProbeRounds } from "./probe-rounds.js";

let clock: ManualClock;
let rounds: ProbeRounds;
let peers: readonly string[];
let asked: { readonly peerId: string; readonly request: ProbeRequest }[];
let heard: { readonly nodeId: string; readonly votes: ProbeVotes }[];
let probed: { readonly address: string; readonly finish: (answered: boolean) => void }[];
let ids = 0;

beforeEach(() => {
  clock = new ManualClock();
  peers = ["p1", "p2"];
  asked = [];
  heard = [];
  probed = [];
  rounds = new ProbeRounds({
    probe: ({ address }) => new Promise((finish) => probed.push({ address, finish })),
    runtime: { clock, random: () => 0, newId: () => `r${++ids}` },
    livePeers: () => peers,
    sendProbeRequest: (peerId, request) => asked.push({ peerId, request }) > 0,
    onVotes: (nodeId, votes) => heard.push({ nodeId, votes }),
  });
});

function answer(peerId: string, answered: boolean): void {
  const question = asked.find((one) => one.peerId === peerId);
  rounds.recordResult(peerId, { requestId: question?.request.requestId ?? "", answered });
}

describe("ProbeRounds", () => {
  it("asks no peer when the host answers the leader at once", async () => {
    rounds.start("n", { address: "10.0.0.1", askPeersAtOnce: false });
    probed[0]?.finish(true);
    await clock.advance(2_000);
    expect(asked).toEqual([]);
    expect(heard).toEqual([{ nodeId: "n", votes: { asked: 1, silent: 0, alive: 1 } }]);
  });

  it("asks the peers at once when the last round failed", async () => {
    rounds.start("n", { address: "10.0.0.1", askPeersAtOnce: true });
    await clock.advance(0);
    expect(asked.map(({ peerId }) => peerId)).toEqual(["p1", "p2"]);
  });

  it("ends when all voters have answered and counts each vote once", async () => {
    rounds.start("n", { address: "10.0.0.1", askPeersAtOnce: false });
    await clock.advance(100);
    expect(asked.map(({ peerId, request }) => [peerId, request.address])).toEqual([
      ["p1", "10.0.0.1"],
      ["p2", "10.0.0.1"],
    ]);
    answer("p1", false);
    answer("p1", false);
    probed[0]?.finish(false);
    await clock.advance(0);
    expect(heard).toEqual([]);
    answer("p2", true);
    expect(heard).toEqual([{ nodeId: "n", votes: { asked: 3, silent: 2, alive: 1 } }]);
  });

  it("times out, and ignores unsolicited and late results", async () => {
    rounds.start("n", { address: "10.0.0.1", askPeersAtOnce: false });
    await clock.advance(100);
    answer("p1", false);
    const requestId = asked[0]?.request.requestId ?? "";
    rounds.recordResult("stranger", { requestId, answered: true });
    await clock.advance(800);
    expect(heard).toEqual([{ nodeId: "n", votes: { asked: 3, silent: 1, alive: 0 } }]);
    answer("p2", true);
    probed[0]?.finish(true);
    await clock.advance(2_000);
    expect(heard).toHaveLength(1);
  });

  it("drops a canceled round", async () => {
    rounds.start("n", { address: "10.0.0.1", askPeersAtOnce: false });
    rounds.cancel("n");
    probed[0]?.finish(false);
    await clock.advance(2_000);
    expect([asked, heard]).toEqual([[], []]);
  });

  it("limits concurrent rounds and runs the others later", async () => {
    peers = [];
    for (let index = 0; index < 70; index += 1) {
      rounds.start(`n${index}`, { address: `10.0.0.${index}`, askPeersAtOnce: false });
    }
    expect(probed).toHaveLength(64);
    rounds.cancel("n69");
    probed[0]?.finish(true);
    await clock.advance(0);
    expect(probed.map(({ address }) => address).slice(64)).toEqual(["10.0.0.64"]);
    await clock.advance(900);
    expect(probed).toHaveLength(69);
    expect(heard).toHaveLength(65);
  });
});
