import { expect, test } from "vitest";
import { MAX_STREAMS_PER_SESSION, SESSION_TTL_MS, SessionTable } from "./session-table.js";

const HOUR_MS = 60 * 60_000;
const ALICE = { userName: "alice", isReadOnly: false };

test("a session ends twelve hours after the login, or two hours after its last use", () => {
  const sessions = new SessionTable();
  const { token, session } = sessions.create(ALICE, 0);
  for (let hour = 1; hour < 12; hour += 1) expect(sessions.find(token, hour * HOUR_MS)).toBe(session);
  expect(sessions.find(token, SESSION_TTL_MS)).toBeUndefined();
  expect(session.ended.aborted).toBe(true);
  const idle = sessions.create(ALICE, 0);
  expect(sessions.find(idle.token, 2 * HOUR_MS)).toBeUndefined();
  expect(sessions.find("unknown", 0)).toBeUndefined();
});

test("an open stream keeps a session in use until it is closed", () => {
  const sessions = new SessionTable();
  const { token, session } = sessions.create(ALICE, 0);
  const release = sessions.openStream(session, () => 5 * HOUR_MS);
  sessions.endExpired(5 * HOUR_MS);
  expect(session.ended.aborted).toBe(false);
  release?.();
  expect(sessions.find(token, 6.9 * HOUR_MS)).toBe(session);
  sessions.endExpired(8.9 * HOUR_MS);
  expect(session.ended.aborted).toBe(true);
  expect(sessions.openStream(session, () => 0)).toBeUndefined();
});

test("a session has a limited number of open streams", () => {
  const sessions = new SessionTable();
  const { session } = sessions.create(ALICE, 0);
  const open = () => sessions.openStream(session, () => 0);
  const releases = Array.from({ length: MAX_STREAMS_PER_SESSION }, open);
  expect(releases.every((release) => release !== undefined)).toBe(true);
  expect(open()).toBeUndefined();
  releases[0]?.();
  expect(open()).toBeDefined();
});

test("the oldest sessions end when a user has 16 of them, or a server 1,000", () => {
  const sessions = new SessionTable();
  const ofAlice = Array.from({ length: 17 }, () => sessions.create(ALICE, 0).session);
  expect(ofAlice.map(({ ended }) => ended.aborted)).toEqual([true, ...Array<boolean>(16).fill(false)]);
  for (let user = 0; user < 1_000; user += 1) sessions.create({ userName: `u${user}`, isReadOnly: false }, 0);
  expect(sessions.size).toBe(1_000);
  expect(ofAlice.every(({ ended }) => ended.aborted)).toBe(true);
});
