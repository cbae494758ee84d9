import { expect, it } from "vitest";
import {
  AGENT_FENCES_AFTER_MS,
  ASK_PEERS_AFTER_MS,
  CONFIRM_DOWN_MS,
  CONFIRM_DOWN_ROUNDS,
  FENCE_GRACE_MS,
  LEADER_ASSUMES_FENCED_AFTER_MS,
  LEADER_LEASE_MS,
  PROBE_MS,
  PROBE_ROUND_MS,
} from "./timing.js";

/** Time for a request to reach a peer and for its answer to come back, on a slow network. */
const ROUND_TRIP_MS = 500;
/** Time for dockerd to kill a container on a loaded host. */
const KILL_MS = 2_000;

it("the leader cannot confirm that a host is down before its probes have ended", () => {
  expect(CONFIRM_DOWN_MS).toBeGreaterThanOrEqual(ASK_PEERS_AFTER_MS + CONFIRM_DOWN_ROUNDS * PROBE_MS);
});

it("a probe round lasts long enough for the peers to probe and to answer", () => {
  expect(PROBE_ROUND_MS).toBeGreaterThanOrEqual(ASK_PEERS_AFTER_MS + PROBE_MS + ROUND_TRIP_MS);
});

it("the leader counts at-most-one tasks as stopped only after the agent has stopped them", () => {
  expect(LEADER_ASSUMES_FENCED_AFTER_MS).toBeGreaterThanOrEqual(
    AGENT_FENCES_AFTER_MS + FENCE_GRACE_MS + KILL_MS,
  );
});

it("an agent outlasts the replacement of a dead leader without fencing its tasks", () => {
  expect(AGENT_FENCES_AFTER_MS).toBeGreaterThan(LEADER_LEASE_MS);
});
