import { describe, expect, test } from "vitest";
import {
  decideMembership,
  LEARNER_TIMEOUT_MS,
  MAX_ETCD_MEMBERS,
  type ObservedMember,
} from "./etcd-membership.js";

function urlOf(host: number): string {
  return `https://10.0.0.${host}:7403`;
}

/** A voter that runs. */
function member(host: number, over: Partial<ObservedMember> = {}): ObservedMember {
  return {
    ...{
      id: `id-${host}`,
      name: `berth-10.0.0.${host}`,
      isLearner: false,
      isRunning: true,
      sinceRequestMs: 0,
    },
    ...{ peerUrls: [urlOf(host)], clientUrls: [`https://10.0.0.${host}:7404`], ...over },
  };
}

const NEVER_RUN = { name: "", clientUrls: [], isRunning: false } as const;

describe("a server without etcd data", () => {
  const add = (host: number, members: readonly ObservedMember[]) =>
    decideMembership({ kind: "add", peerUrl: urlOf(host) }, members);

  test("a server without etcd data gets a learner", () => {
    expect(add(2, [member(1)])).toEqual({
      kind: "step",
      step: { kind: "add-learner", peerUrl: urlOf(2) },
    });
  });

  test("gets the member that an interrupted start has left", () => {
    expect(add(2, [member(1), member(2, { ...NEVER_RUN, isLearner: true })])).toEqual({ kind: "done" });
  });

  test("waits while another server joins", () => {
    const learner = member(2, { isLearner: true, sinceRequestMs: LEARNER_TIMEOUT_MS });
    expect(add(3, [member(1), learner])).toMatchObject({
      kind: "wait",
      reason: expect.stringContaining(urlOf(2)),
    });
  });

  test("replaces a learner whose server has given up", () => {
    const learner = member(2, { ...NEVER_RUN, isLearner: true, sinceRequestMs: LEARNER_TIMEOUT_MS + 1 });
    expect(add(3, [member(1), learner])).toMatchObject({
      kind: "step",
      step: { kind: "remove", memberId: "id-2" },
    });
  });

  test("replaces its own learner whose data is lost", () => {
    expect(add(2, [member(1), member(2, { isLearner: true, isRunning: false })])).toMatchObject({
      kind: "step",
      step: { kind: "remove", memberId: "id-2" },
    });
  });

  test("replaces its own voter whose data is lost while the others are a quorum", () => {
    const members = [member(1), member(2), member(3, { isRunning: false })];
    expect(add(3, members)).toMatchObject({ kind: "step", step: { kind: "remove", memberId: "id-3" } });
  });

  test.each([
    ["one of two", [member(1), member(3, { isRunning: false })]],
    ["one of three beside another", [member(1), member(2, NEVER_RUN), member(3, { isRunning: false })]],
    [
      "one of three beside a learner",
      [
        member(1),
        member(2, { isRunning: false }),
        member(3, { isRunning: false }),
        member(4, { isLearner: true }),
      ],
    ],
  ])("does not replace a voter when it is %s", (_, members) => {
    expect(add(3, members)).toMatchObject({ kind: "wait" });
  });

  test("a server without etcd data is refused while another etcd runs at its address", () => {
    expect(add(2, [member(1), member(2), member(3)])).toMatchObject({ kind: "refuse" });
  });

  test.each(["https://127.0.0.1:20001", "https://[::1]:20001"])("is refused beside a member at %s", (url) => {
    expect(add(2, [member(1, { peerUrls: [url] })])).toMatchObject({
      kind: "refuse",
      reason: expect.stringContaining(url),
    });
  });

  test("a server without etcd data is refused when there are as many members as etcd supports", () => {
    const members = Array.from({ length: MAX_ETCD_MEMBERS }, (_, index) => member(index + 1));
    expect(add(100, members)).toMatchObject({ kind: "refuse" });
  });
});

describe("a server with a running member", () => {
  const promote = (host: number, members: readonly ObservedMember[]) =>
    decideMembership({ kind: "promote", peerUrl: urlOf(host) }, members);

  test("a server with a running member gets a vote", () => {
    expect(promote(2, [member(1), member(2, { isLearner: true })])).toEqual({
      kind: "step",
      step: { kind: "promote", memberId: "id-2" },
    });
  });

  test("a server with a running member keeps its vote", () => {
    expect(promote(2, [member(1), member(2)])).toEqual({ kind: "done" });
  });

  test("a server with a running member is refused once its member was removed", () => {
    expect(promote(2, [member(1)])).toMatchObject({ kind: "refuse" });
  });
});

describe("the member of a removed server", () => {
  const remove = (host: number, members: readonly ObservedMember[]) =>
    decideMembership({ kind: "remove", peerUrl: urlOf(host) }, members);
  const down = (host: number) => member(host, { isRunning: false });

  test.each([
    ["it is one of three that run", [member(1), member(2), member(3)]],
    ["it is one of two that run", [member(1), member(3)]],
    ["it is down and the others are a quorum", [member(1), member(2), down(3)]],
    ["it is one of five and another one is down too", [member(1), member(2), member(4), down(5), down(3)]],
    ["it is a learner", [member(1), down(2), member(3, { isLearner: true })]],
  ])("the member of a removed server is removed when %s", (_, members) => {
    expect(remove(3, members)).toMatchObject({ kind: "step", step: { kind: "remove", memberId: "id-3" } });
  });

  test.each([
    ["the only one", [member(3)]],
    ["the only voter", [member(3), member(2, { isLearner: true })]],
    ["one of three while another one is down", [member(1), down(2), member(3)]],
    ["one of five while two others are down", [member(1), member(2), down(4), down(5), member(3)]],
  ])("the member of a removed server is not removed when it is %s", (_, members) => {
    expect(remove(3, members)).toMatchObject({ kind: "refuse" });
  });

  test("the member of a removed server is gone after the removal", () => {
    expect(remove(3, [member(1), member(2)])).toEqual({ kind: "done" });
  });
});
