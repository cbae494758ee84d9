import { expect, test } from "vitest";
import { type Attempt, firstAttempt, nextAttempt } from "./next-attempt.js";

const highest = { reported: [], rng: () => 1 };
const lowest = { reported: [], rng: () => 0 };
const lost = { kind: "lost", joinedHeartbeatMs: undefined, reason: "" } as const;
const first = firstAttempt(["a:1", "b:1"]);

test("nextAttempt tries the servers in turn with a back-off of up to two seconds", () => {
  const attempts: Attempt[] = [first];
  for (let round = 0; round < 8; round += 1) {
    attempts.push(nextAttempt(attempts.at(-1) ?? first, lost, highest));
  }
  expect(attempts.slice(0, 4).map(({ address }) => address)).toEqual(["a:1", "b:1", "a:1", "b:1"]);
  expect(attempts.map(({ delayMs }) => delayMs)).toEqual([0, 100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000]);
  expect(nextAttempt(first, lost, lowest).delayMs).toBe(50);
});

test("nextAttempt follows a limited number of redirects to the leader", () => {
  const redirect = { kind: "not-leader", leader: "b:1", afterMs: 5 } as const;
  const followed = nextAttempt(first, redirect, highest);
  expect(followed).toMatchObject({ address: "b:1", delayMs: 0 });
  let attempt = followed;
  for (let round = 0; round < 3; round += 1) attempt = nextAttempt(attempt, redirect, highest);
  expect(attempt).toMatchObject({ address: "a:1", delayMs: 100 });
});

test("nextAttempt tries the next server almost at once after a joined session, and adds the servers that the leader has reported", () => {
  const backedOff = { ...first, failures: 7 };
  const joined = { kind: "lost", joinedHeartbeatMs: 500, reason: "" } as const;
  const reported = ["c:1", "a:1"];
  const next = { address: "b:1", failures: 0, servers: ["a:1", "b:1", "c:1"] };
  expect(nextAttempt(backedOff, joined, { ...lowest, reported })).toMatchObject({ ...next, delayMs: 0 });
  expect(nextAttempt(backedOff, joined, { ...highest, reported })).toMatchObject({ ...next, delayMs: 100 });
});

test("nextAttempt spreads the reconnections of a large cluster, redirects included", () => {
  const large = { kind: "lost", joinedHeartbeatMs: 2_000, reason: "" } as const;
  const away = nextAttempt(first, large, highest);
  expect(away.delayMs).toBe(400);
  const redirect = { kind: "not-leader", leader: "a:1", afterMs: 5 } as const;
  expect(nextAttempt(away, redirect, { reported: [], rng: () => 0.5 })).toMatchObject({
    address: "a:1",
    delayMs: 200,
  });
});

test("nextAttempt backs off after a server that knows no leader, unless that server has waited for one", () => {
  const backedOff = { ...first, failures: 7 };
  const noLeader = { kind: "not-leader", leader: "", afterMs: 2_000 } as const;
  expect(nextAttempt(backedOff, noLeader, highest)).toMatchObject({
    address: "b:1",
    delayMs: 100,
    failures: 1,
  });
  expect(nextAttempt(backedOff, { ...noLeader, afterMs: 5 }, highest)).toMatchObject({
    delayMs: 2_000,
    failures: 8,
  });
});

test("nextAttempt follows a redirect to an unknown address only after every known server was tried", () => {
  const redirect = { kind: "not-leader", leader: "127.0.0.1:2379", afterMs: 5 } as const;
  const second = nextAttempt(first, redirect, highest);
  expect(second).toMatchObject({ address: "b:1", redirects: 0, failures: 1 });
  const third = nextAttempt(second, redirect, highest);
  expect(third).toMatchObject({ address: "a:1", redirects: 0, failures: 2 });
  expect(nextAttempt(third, redirect, highest)).toMatchObject({ address: "127.0.0.1:2379", redirects: 1 });
});

test("nextAttempt asks the same server again after a while when the node awaits approval, and rarely once it was removed", () => {
  const backedOff = { ...first, address: "b:1", failures: 7 };
  const refused = { kind: "refused", reason: "" } as const;
  const waiting = nextAttempt(backedOff, { ...refused, refusal: "awaits-approval" }, highest);
  expect(waiting).toMatchObject({ address: "b:1", delayMs: 5_000, failures: 0 });
  expect(nextAttempt(backedOff, { ...refused, refusal: "removed" }, lowest)).toMatchObject({
    address: "b:1",
    delayMs: 30_000,
  });
});
