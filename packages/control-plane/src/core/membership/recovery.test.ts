import { describe, expect, test } from "vitest";
import { decideRecovery, type MemberResponse, type QueriedMember } from "./recovery.js";

const STOPPED: MemberResponse = { kind: "stopped" };
const UNREACHABLE: MemberResponse = { kind: "unreachable", reason: "timeout" };
const running = (lastIndex?: number): MemberResponse => ({ kind: "running", lastIndex });

function decide(answers: readonly MemberResponse[], isForced = false) {
  const others = answers.map((answer, index): QueriedMember => ({ address: `10.0.0.${index + 2}`, answer }));
  return decideRecovery({ address: "10.0.0.1", lastIndex: 100, others, isForced });
}

describe("decideRecovery", () => {
  test.each([
    ["both other servers of three are stopped", [STOPPED, STOPPED]],
    ["the other server of two is stopped", [STOPPED]],
    ["one other server of five runs with older data", [running(99), STOPPED, STOPPED, STOPPED]],
    ["one other server of five runs and does not say how far it is", [running(), STOPPED, STOPPED, STOPPED]],
  ])("continues alone when %s", (_, answers) => {
    expect(decide(answers)).toEqual({ kind: "recover" });
  });

  test.each([
    ["both other servers of three run", [running(), running()], "a quorum of the 3 servers is running"],
    [
      "three other servers of five run",
      [running(), running(), running(), UNREACHABLE],
      "a quorum of the 5 servers is running",
    ],
    ["it is a quorum with another one of three", [running(), STOPPED], "are a quorum of the 3 servers"],
    ["it is a quorum with another one of two", [running()], "are a quorum of the 2 servers"],
    ["another survivor has newer data", [running(101), STOPPED, STOPPED, STOPPED], "10.0.0.2 has newer data"],
    ["there are no other servers", [], "no other members"],
  ])("refuses, also by force, when %s", (_, answers, reason) => {
    for (const isForced of [false, true]) {
      expect(decide(answers, isForced)).toEqual({ kind: "refuse", reason: expect.stringContaining(reason) });
    }
  });

  test("continues without the answer of a server only by force", () => {
    const answers = [UNREACHABLE, STOPPED];
    expect(decide(answers)).toEqual({
      kind: "refuse",
      reason: expect.stringMatching(/^10\.0\.0\.2 may still be running.*--force$/),
    });
    expect(decide(answers, true)).toEqual({ kind: "recover" });
  });
});
