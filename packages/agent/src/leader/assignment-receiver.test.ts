import { PROTOCOL_VERSIONS, Welcome } from "@berth/proto";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { AssignmentReceiver, type KnownLeader, REFUSE_LOWER_EPOCH_MS } from "./assignment-receiver.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const welcome = (epoch: number, servers: string[] = ["a:1"], generation = 0): Welcome =>
  Welcome.fromPartial({ epoch, heartbeatMs: 500, servers, generation });

function receiverWith(known: Partial<KnownLeader>) {
  const knownLeader = { epoch: 0, generation: 0, servers: [], ...known };
  const stored: KnownLeader[] = [];
  const receiver: AssignmentReceiver = new AssignmentReceiver({
    tasks: { assign: () => {}, updateFiles: () => {}, updateRegistryLogins: () => {} },
    dataPlane: {
      resetSequence: () => {},
      updateNetworks: () => {},
      updateTables: () => {},
      whenApplied: async () => true,
    },
    fence: { requestAcks: () => {} },
    policy: { update: () => {} },
    knownLeader,
    flushState: async () => void stored.push(receiver.knownLeader),
    scheduleStateWrite: () => {},
    log: pino({ level: "silent" }),
  });
  return { receiver, stored };
}

test("a leader whose oldest protocol is newer than this agent's is refused before its epoch is stored", async () => {
  const { receiver, stored } = receiverWith({ epoch: 0, servers: [] });
  const protocolVersion = PROTOCOL_VERSIONS.newest + 1;
  await expect(receiver.onWelcome({ ...welcome(4), protocolVersion })).rejects.toMatchObject({
    code: "BERTH_VERSION_UNSUPPORTED",
    details: { upgrade: "agent" },
  });
  expect(stored).toEqual([]);
});

test("a welcome without addresses of servers leaves the known ones in place", async () => {
  const { receiver } = receiverWith({ epoch: 5, servers: ["a:1"] });
  await receiver.onWelcome(welcome(6, []));
  expect(receiver.knownLeader).toEqual({ epoch: 6, generation: 0, servers: ["a:1"] });
});

test("a leader with a lower epoch is refused while the leader of the highest epoch may act", async () => {
  const { receiver } = receiverWith({ epoch: 5, servers: ["a:1"] });
  await expect(receiver.onWelcome(welcome(4))).rejects.toMatchObject({ code: "BERTH_STALE_EPOCH" });
  await receiver.onWelcome(welcome(6));
  await vi.advanceTimersByTimeAsync(10 * REFUSE_LOWER_EPOCH_MS);
  // The session with the leader lasted until now.
  receiver.onSessionEnd();
  await vi.advanceTimersByTimeAsync(REFUSE_LOWER_EPOCH_MS - 1);
  await expect(receiver.onWelcome(welcome(5))).rejects.toMatchObject({ code: "BERTH_STALE_EPOCH" });
  expect(receiver.knownLeader.epoch).toBe(6);
});

test("a false epoch does not keep the real leader away for ever", async () => {
  const { receiver, stored } = receiverWith({ epoch: 5, servers: ["a:1"] });
  await receiver.onWelcome(welcome(Number.MAX_SAFE_INTEGER));
  receiver.onSessionEnd();
  for (let second = 0; second < REFUSE_LOWER_EPOCH_MS / 1_000; second += 1) {
    await expect(receiver.onWelcome(welcome(7))).rejects.toMatchObject({ code: "BERTH_STALE_EPOCH" });
    // The end of a refused session is no contact with the leader.
    receiver.onSessionEnd();
    await vi.advanceTimersByTimeAsync(1_000);
  }
  await receiver.onWelcome(welcome(7));
  expect(stored.at(-1)).toEqual({ epoch: 7, generation: 0, servers: ["a:1"] });
  await expect(receiver.onWelcome(welcome(6))).rejects.toMatchObject({ code: "BERTH_STALE_EPOCH" });
});

test("an agent that starts with a false epoch on disk accepts the real leader after a while", async () => {
  const { receiver } = receiverWith({ epoch: Number.MAX_SAFE_INTEGER, servers: ["a:1"] });
  await expect(receiver.onWelcome(welcome(7))).rejects.toMatchObject({ code: "BERTH_STALE_EPOCH" });
  await vi.advanceTimersByTimeAsync(REFUSE_LOWER_EPOCH_MS);
  await receiver.onWelcome(welcome(7));
  expect(receiver.knownLeader.epoch).toBe(7);
});

test("a server from before a restore is refused for good, and a restored one is accepted at once", async () => {
  const { receiver, stored } = receiverWith({ epoch: 2_000, servers: ["a:1"] });
  await receiver.onWelcome(welcome(1_001, ["b:1"], 1_000));
  expect(stored).toEqual([{ epoch: 1_001, generation: 1_000, servers: ["b:1"] }]);
  receiver.onSessionEnd();
  await vi.advanceTimersByTimeAsync(10 * REFUSE_LOWER_EPOCH_MS);
  for (const stale of [welcome(3_000), welcome(3_000, ["a:1"], 999)])
    await expect(receiver.onWelcome(stale)).rejects.toMatchObject({ code: "BERTH_STALE_EPOCH" });
  await receiver.onWelcome(welcome(1_002, ["b:1"], 1_000));
});

test.each([-1, 0.5, 2 ** 53])("the generation %s is rejected as invalid", async (generation) => {
  const { receiver } = receiverWith({});
  await expect(receiver.onWelcome(welcome(1, [], generation))).rejects.toMatchObject({
    code: "BERTH_PROTOCOL",
  });
});

test.each([0, -1, 1.5, Number.NaN, 2 ** 53])("the epoch %s is rejected as invalid", async (epoch) => {
  const { receiver, stored } = receiverWith({ epoch: 0, servers: [] });
  await expect(receiver.onWelcome(welcome(epoch))).rejects.toMatchObject({ code: "BERTH_PROTOCOL" });
  expect(stored).toEqual([]);
});

test("the list of servers that a leader sends is bounded", async () => {
  const { receiver } = receiverWith({ epoch: 1, servers: [] });
  await receiver.onWelcome(welcome(2, [...Array.from({ length: 1_000 }, (_, index) => `s${index}:1`)]));
  expect(receiver.knownLeader.servers).toHaveLength(32);
});

test("the servers that a leader names later replace those of its welcome, unless it names none", async () => {
  const { receiver } = receiverWith({ epoch: 0, servers: [] });
  await receiver.onWelcome(welcome(1, ["a:1"]));
  receiver.onServers({ addresses: ["a:1", "b:1"] });
  expect(receiver.knownLeader).toMatchObject({ epoch: 1, servers: ["a:1", "b:1"] });
  receiver.onServers({ addresses: [] });
  expect(receiver.knownLeader.servers).toEqual(["a:1", "b:1"]);
  receiver.onServers({ addresses: Array.from({ length: 100 }, (_, index) => `s${index}:1`) });
  expect(receiver.knownLeader.servers).toHaveLength(32);
});
