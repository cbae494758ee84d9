import { type Authorities, Authority, Node, Authority_State as State } from "@berth/proto";
import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { ServerTrust } from "../core/authorities/rotation.js";
import type { Writer } from "../reconciler/writer.js";
import { systemRuntime } from "../runtime/runtime.js";
import type { Change } from "../state/change.js";
import { ClusterState } from "../state/cluster-state.js";
import { ManualClock } from "../testing/manual-clock.js";
import { AuthorityRotation } from "./authority-rotation.js";
import { RETIREMENT_MS } from "./certificate-issuer.js";

/** The records, which survive leaders. */
let state: ClusterState;
let revision: bigint;
let clock: ManualClock;
let servers: readonly ServerTrust[];
let readServers: () => readonly ServerTrust[];
let leader: AbortController;
let messages: Authorities[];

beforeEach(() => {
  state = new ClusterState();
  revision = 1n;
  clock = new ManualClock();
  messages = [];
  leader = new AbortController();
  servers = [{ address: "a:1", authorities: ["old"] }];
  readServers = () => servers;
  put(Authority.fromPartial({ fingerprint: "old", state: State.ISSUING }));
  apply([{ kind: "put-node", node: Node.fromPartial({ id: "n1" }) }]);
});

afterEach(() => leader.abort());

function apply(changes: readonly Change[]): void {
  state.apply(changes.map((change) => ({ change, revision: ++revision })));
}

function put(authority: Authority): void {
  apply([{ kind: "put-authority", authority }]);
}

function announce(): void {
  put(
    Authority.fromPartial({
      fingerprint: "new",
      state: State.ANNOUNCED,
      createdAtMs: clock.nowMs(),
      stateSinceMs: clock.nowMs(),
    }),
  );
}

const states = (): Readonly<Record<string, State>> =>
  Object.fromEntries([...state.authorities.values()].map((each) => [each.fingerprint, each.state]));

/** Writes the changes of decisions. */
const WRITER: Pick<Writer, "submit"> = {
  submit: async (decide) => {
    const { changes, result } = decide(state);
    apply(changes);
    return result;
  },
};

/** A leader that dies when it tries to store a step. */
const DYING_WRITER: Pick<Writer, "submit"> = {
  submit: async () => {
    leader.abort();
    throw new Error("the term ended");
  },
};

/** Elects a leader, which ends the term of the one before. */
function elect(writer: Pick<Writer, "submit"> = WRITER): AuthorityRotation {
  leader.abort();
  leader = new AbortController();
  const runtime = { ...systemRuntime, clock, wallClockMs: () => clock.nowMs() };
  const rotation = new AuthorityRotation({
    state,
    writer,
    runtime,
    logger: pino({ level: "silent" }),
    serverTrust: () => readServers(),
    broadcast: (message) => void messages.push(message),
  });
  void rotation.run(leader.signal);
  return rotation;
}

it("switches the issuer once the servers trust the new authority, and tells the agents", async () => {
  const rotation = elect();
  expect(rotation.message).toEqual({ issuing: "old", trusted: ["old"], spreadMs: 50 });
  announce();
  await clock.advance(20_000);
  expect(states()).toEqual({ old: State.ISSUING, new: State.ANNOUNCED });
  servers = [{ address: "a:1", authorities: ["old", "new"] }];
  await clock.advance(500);
  expect(states()).toEqual({ old: State.RETIRING, new: State.ISSUING });
  expect(rotation.message).toEqual({ issuing: "new", trusted: ["old", "new"], spreadMs: 50 });
  expect(messages.at(-1)).toEqual(rotation.message);
});

it("continues under the next leader when leaders die before and after each step", async () => {
  announce();
  servers = [{ address: "a:1", authorities: ["old", "new"] }];
  elect();
  await clock.advance(1_000);
  elect(DYING_WRITER);
  await clock.advance(10_000);
  expect(states()).toEqual({ old: State.ISSUING, new: State.ANNOUNCED });
  elect();
  await clock.advance(250);
  expect(states()).toEqual({ old: State.RETIRING, new: State.ISSUING });
  // This leader did not switch the issuer. It tells each agent at the start of its session.
  messages = [];
  expect(elect().message).toMatchObject({ issuing: "new" });
  await clock.advance(1_000);
  expect(messages).toEqual([]);
  leader.abort();
  clock.jump(RETIREMENT_MS);
  elect(DYING_WRITER);
  await clock.advance(250);
  expect(states()).toEqual({ old: State.RETIRING, new: State.ISSUING });
  const last = elect();
  await clock.advance(250);
  expect(states()).toEqual({ new: State.ISSUING });
  expect(messages).toEqual([{ issuing: "new", trusted: ["new"], spreadMs: 50 }]);
  expect(last.message).toEqual(messages[0]);
});

it("removes a retiring authority at its time, also when the leader has run for months", async () => {
  elect();
  announce();
  servers = [{ address: "a:1", authorities: ["old", "new"] }];
  await clock.advance(6_000);
  expect(states()).toMatchObject({ old: State.RETIRING });
  const switchedMs = state.authorities.get("old")?.stateSinceMs ?? 0;
  await clock.advance(switchedMs + RETIREMENT_MS - clock.nowMs() - 1);
  expect(states()).toMatchObject({ old: State.RETIRING });
  await clock.advance(1);
  expect(states()).toEqual({ new: State.ISSUING });
});

it("plans again after a plan failed", async () => {
  readServers = () => {
    throw new Error("unreadable");
  };
  elect();
  await clock.advance(0);
  readServers = () => servers;
  servers = [{ address: "a:1", authorities: ["old", "new"] }];
  announce();
  await clock.advance(6_000);
  expect(states()).toEqual({ old: State.RETIRING, new: State.ISSUING });
});
