import { expect, test } from "vitest";
import type { EtcdMember } from "../../core/membership/etcd-membership.js";
import type { EtcdMembers } from "../../store/etcd/etcd-members.js";
import { ManualClock } from "../../testing/manual-clock.js";
import { MembershipChanges } from "./membership-changes.js";

const { signal } = new AbortController();
const urlOf = (host: number): string => `https://10.0.0.${host}:7405`;

/** The members of an etcd whose first server runs, and whose others have not started yet. */
function membersWithOneServer(): EtcdMembers {
  const first = { id: "1", name: "s1", peerUrls: [urlOf(1)], clientUrls: [], isLearner: false };
  const listed: EtcdMember[] = [first];
  const members: Partial<EtcdMembers> = {
    list: async () => listed,
    isRunning: async ({ id }) => id === "1",
    addLearner: async (peerUrl) => {
      const id = String(listed.length + 1);
      listed.push({ id, name: "", peerUrls: [peerUrl], clientUrls: [], isLearner: true });
      return { kind: "done" };
    },
  };
  return members as EtcdMembers;
}

test("a server that has just been added is not removed for the next one, however long the term has lasted", async () => {
  const clock = new ManualClock();
  const membership = new MembershipChanges({ members: membersWithOneServer(), clock });
  clock.jump(60 * 60_000);
  const first = await membership.apply({ kind: "add", peerUrl: urlOf(2) }, signal);
  expect(first.kind).toBe("done");
  clock.jump(1_000);
  const second = await membership.apply({ kind: "add", peerUrl: urlOf(3) }, signal);
  expect(second).toMatchObject({ kind: "wait", reason: expect.stringContaining("is joining") });
});
