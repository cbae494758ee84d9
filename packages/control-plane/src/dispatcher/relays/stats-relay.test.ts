import { PushStatsRequest } from "@berth/proto";
import { expect, test } from "vitest";
import { systemRuntime } from "../../runtime/runtime.js";
import { ManualClock } from "../../testing/manual-clock.js";
import { RecordingSession } from "../testing/recording-session.js";
import { StatsRelay } from "./stats-relay.js";

function createRelay() {
  const clock = new ManualClock();
  const session = new RecordingSession(clock);
  const relay = new StatsRelay({
    runtime: { ...systemRuntime, clock },
    sessionOf: (nodeId) => (nodeId === "n1" ? session : undefined),
    signal: new AbortController().signal,
  });
  const push = async (requestId: string, nodeId = "n1"): Promise<void> => {
    async function* requests() {
      yield PushStatsRequest.fromPartial({ requestId, node: { cpus: 4 } });
    }
    await relay.serve(requests(), { caller: { kind: "node", id: nodeId } });
  };
  const requestId = (): string => {
    const [start] = session.commands;
    return start?.$case === "startStats" ? start.value.requestId : "";
  };
  return { clock, session, relay, push, requestId };
}

test("StatsRelay lets a node measure once for all readers and returns the latest sample", async () => {
  const { session, relay, push, requestId } = createRelay();
  expect([relay.requestLatest("n1"), relay.requestLatest("n1"), relay.requestLatest("unknown-node")]).toEqual(
    [undefined, undefined, undefined],
  );
  expect(session.commands.map(({ $case }) => $case)).toEqual(["startStats"]);
  await push(requestId());
  expect(relay.requestLatest("n1")?.node.cpus).toBe(4);
});

test("StatsRelay stops a measurement that is not read any longer", async () => {
  const { clock, session, relay, push, requestId } = createRelay();
  relay.requestLatest("n1");
  await clock.advance(20_000);
  expect(session.commands.map(({ $case }) => $case)).toEqual(["startStats", "stopStats"]);
  await expect(push(requestId())).rejects.toMatchObject({ code: "BERTH_NOT_FOUND" });
});

test("StatsRelay returns no outdated sample", async () => {
  const { clock, relay, push, requestId } = createRelay();
  relay.requestLatest("n1");
  await push(requestId());
  for (let i = 0; i < 8; i++) {
    await clock.advance(1_000);
    relay.requestLatest("n1");
  }
  expect(relay.requestLatest("n1")).toBeUndefined();
});

test("rpc-matrix: StatsRelay refuses the sample of a node that was not asked", async () => {
  const { relay, push, requestId } = createRelay();
  relay.requestLatest("n1");
  await expect(push(requestId(), "n2")).rejects.toMatchObject({ code: "BERTH_NOT_FOUND" });
  expect(relay.requestLatest("n1")).toBeUndefined();
});
