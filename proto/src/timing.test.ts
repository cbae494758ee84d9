import { expect, it } from "vitest";
import {
  ASK_PEERS_AFTER_MS,
  FENCE_AFTER_MS,
  FENCE_GRACE_MS,
  FENCED_AFTER_MS,
  LEADER_LEASE_MS,
  PROBE_MS,
  PROBE_ROUND_MS,
  PROOF_MS,
  PROOF_ROUNDS,
} from "./timing.js";

/** Time for a request to reach a peer and for its answer to come back, on a slow network. */
const ROUND_TRIP_MS = 500;
/** Time for dockerd to kill a container on a loaded host. */
const KILL_MS = 2_000;

it("no proof of a host's death is shorter than the probes that it consists of", () => {
  expect(PROOF_MS).toBeGreaterThanOrEqual(ASK_PEERS_AFTER_MS + PROOF_ROUNDS * PROBE_MS);
});

it("a probe round lasts long enough for the peers to probe and to answer", () => {
  expect(PROBE_ROUND_MS).toBeGreaterThanOrEqual(ASK_PEERS_AFTER_MS + PROBE_MS + ROUND_TRIP_MS);
});

it("the leader counts at-most-one tasks as stopped only after the agent has stopped them", () => {
  expect(FENCED_AFTER_MS).toBeGreaterThanOrEqual(FENCE_AFTER_MS + FENCE_GRACE_MS + KILL_MS);
});

it("an agent outlasts the replacement of a dead leader without fencing its tasks", () => {
  expect(FENCE_AFTER_MS).toBeGreaterThan(LEADER_LEASE_MS);
});
