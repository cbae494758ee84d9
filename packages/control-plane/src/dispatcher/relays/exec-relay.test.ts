import { type ExecOutput, ExecStart, PushExecRequest } from "@berth/proto";
import { expect, test } from "vitest";
import { systemRuntime } from "../../runtime/runtime.js";
import { ManualClock } from "../../testing/manual-clock.js";
import { RecordingSession } from "../testing/recording-session.js";
import { ExecRelay } from "./exec-relay.js";

function createRelay() {
  const clock = new ManualClock();
  const session = new RecordingSession(clock);
  const relay = new ExecRelay({
    runtime: { ...systemRuntime, clock },
    sessionOf: (nodeId) => (nodeId === "n1" ? session : undefined),
  });
  const caller = new AbortController();
  const start = ExecStart.fromPartial({ command: { command: ["true"] } });
  const open = (nodeId = "n1") => relay.open({ nodeId, client: "c1", taskId: "t1", start }, caller.signal);
  const requestId = (): string => {
    const [start] = session.commands;
    return start?.$case === "startExec" ? start.value.requestId : "";
  };
  return { clock, session, relay, caller, open, requestId };
}

const { signal } = new AbortController();
const NODE = { kind: "node", id: "n1" } as const;

const exited: ExecOutput = { message: { $case: "exited", value: { exitCode: 3, error: "" } } };

test("ExecRelay passes output on until the command exits", async () => {
  const { relay, open, requestId } = createRelay();
  const { output } = open();
  async function* stream(): AsyncGenerator<PushExecRequest> {
    yield PushExecRequest.fromPartial({ requestId: requestId() });
    yield PushExecRequest.fromPartial({ requestId: requestId(), output: exited });
  }
  for await (const _ of relay.serve(stream(), { caller: NODE, signal }));
  expect(await output.take()).toEqual(exited);
  expect(await output.take()).toBeUndefined();
});

test("ExecRelay fails a command whose exit code is missing", async () => {
  const { relay, open, requestId } = createRelay();
  const { output } = open();
  async function* stream(): AsyncGenerator<PushExecRequest> {
    yield PushExecRequest.fromPartial({ requestId: requestId() });
    throw new Error("the connection broke");
  }
  for await (const _ of relay.serve(stream(), { caller: NODE, signal }));
  await expect(output.take()).rejects.toMatchObject({ code: "BERTH_NODE_UNREACHABLE" });
});

test("ExecRelay fails a command on a node that is not connected, does not respond, or is down", async () => {
  const { clock, relay, open } = createRelay();
  await expect(open("unknown-node").output.take()).rejects.toThrow(/not connected/);
  const silent = open();
  await clock.advance(5_000);
  await expect(silent.output.take()).rejects.toThrow(/does not respond/);
  const dead = open();
  relay.onNodeDown("n1");
  await expect(dead.output.take()).rejects.toThrow(/is down/);
});

test("ExecRelay stops the command when the caller leaves", async () => {
  const { session, caller, open } = createRelay();
  const { output } = open();
  caller.abort();
  expect(session.commands.map(({ $case }) => $case)).toEqual(["startExec", "stopExec"]);
  expect(await output.take()).toBeUndefined();
});

test("ExecRelay ends an agent's stream that sends no first message in time", async () => {
  const { clock, relay } = createRelay();
  async function* silence(): AsyncGenerator<PushExecRequest> {
    await new Promise(() => {});
    yield PushExecRequest.fromPartial({});
  }
  const pushed = relay.serve(silence(), { caller: NODE, signal }).next();
  const outcome = expect(pushed).rejects.toMatchObject({ code: "BERTH_PROTOCOL" });
  await clock.advance(5_000);
  await outcome;
});

test("rpc-matrix: ExecRelay refuses the stream of a node that was not asked, and still accepts the right one", async () => {
  const { relay, open, requestId } = createRelay();
  const { output } = open();
  async function* stream(): AsyncGenerator<PushExecRequest> {
    yield PushExecRequest.fromPartial({ requestId: requestId() });
    yield PushExecRequest.fromPartial({ requestId: requestId(), output: exited });
  }
  const other = relay.serve(stream(), { caller: { kind: "node", id: "n2" }, signal });
  await expect(other.next()).rejects.toMatchObject({ code: "BERTH_NOT_FOUND" });
  for await (const _ of relay.serve(stream(), { caller: NODE, signal }));
  expect(await output.take()).toEqual(exited);
});
