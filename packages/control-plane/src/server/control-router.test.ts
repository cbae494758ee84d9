import { BerthError } from "@berth/proto";
import type { CallContext, RpcTransport } from "@berth/proto/rpc";
import { beforeEach, expect, test } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { type ControlRouter, routeControlService } from "./control-router.js";
import { LeadershipState } from "./leadership-state.js";

const LEADER = "10.0.0.1:7400";
const NEXT_LEADER = "10.0.0.3:7400";
const context = { signal: new AbortController().signal, forwarded: false } as unknown as CallContext;

let clock: ManualClock;
let leadership: LeadershipState;
let router: ControlRouter;
/** Responses of the leaders that respond, by address. The others neither respond nor close the connection. */
let responses: Map<string, () => Promise<unknown>>;

beforeEach(() => {
  clock = new ManualClock();
  leadership = new LeadershipState(clock);
  leadership.setOwnAddress("10.0.0.2:7400");
  leadership.setLeaderAddress(LEADER);
  responses = new Map();
  const connect = (_service: unknown, { address }: { readonly address: string }) => {
    const getCluster = (_input: unknown, { signal }: CallContext) =>
      responses.get(address)?.() ??
      new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    return { address, calls: { getCluster }, close: () => {} };
  };
  router = routeControlService({ leadership, clock, transport: { connect } as unknown as RpcTransport });
});

test("a call whose leader is lost after a long time waits for the next leader", async () => {
  const call = router.handlers.getCluster({}, context);
  await clock.advance(20_000);
  leadership.setLeaderSuspect(true);
  await clock.advance(4_000);
  responses.set(NEXT_LEADER, async () => "done");
  leadership.setLeaderAddress(NEXT_LEADER);
  await clock.advance(100);
  await expect(call).resolves.toBe("done");
});

test("a call fails when no leader follows in time", async () => {
  const call = router.handlers.getCluster({}, context);
  const failure = expect(call).rejects.toMatchObject({ code: "BERTH_NO_LEADER" });
  await clock.advance(20_000);
  leadership.setLeaderSuspect(true);
  await clock.advance(5_100);
  await failure;
});

test("a call names the leader that cannot be reached", async () => {
  responses.set(LEADER, async () => {
    throw new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message: "connection refused" });
  });
  const call = router.handlers.getCluster({}, context);
  const failure = expect(call).rejects.toMatchObject({
    code: "BERTH_SERVER_UNREACHABLE",
    message: `lost connection to the leader at ${LEADER}, and no other server leads yet; try again`,
    details: { leader: LEADER },
  });
  for (let attempt = 0; attempt < 51; attempt += 1) await clock.advance(100);
  await failure;
});
