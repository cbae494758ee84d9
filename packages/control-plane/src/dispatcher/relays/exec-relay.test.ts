import { ExecCommand, type ExecOutput, PushExecRequest } from "@berth/proto";
import { expect, test } from "vitest";
import { systemRuntime } from "../../runtime/runtime.js";
import { ManualClock } from "../../testing/manual-clock.js";
import { type AgentCommand, Session } from "../session.js";
import { NO_NETWORKS } from "../testing/no-networks.js";
import { ExecRelay } from "./exec-relay.js";

class RecordingSession extends Session {
  readonly orders: AgentCommand[] = [];

  override send(command: AgentCommand): void {
    this.orders.push(command);
  }
}

function connected() {
  const clock = new ManualClock();
  const session = new RecordingSession({
    nodeId: "n1",
    bootId: "boot",
    peer: "peer",
    welcome: { epoch: 1, heartbeatMs: 500, servers: [] },
    clock,
    source: {
      tasks: () => [],
      task: () => undefined,
      spec: () => undefined,
      ingress: () => [],
      ingressEntry: () => undefined,
      isHeld: () => false,
      ...NO_NETWORKS,
    },
    tableVersion: () => 1,
  });
  const relay = new ExecRelay({
    runtime: { ...systemRuntime, clock },
    sessionOf: (nodeId) => (nodeId === "n1" ? session : undefined),
  });
  const caller = new AbortController();
  const command = ExecCommand.fromPartial({ command: ["true"] });
  const open = (nodeId = "n1") => relay.open({ nodeId, taskId: "t1", command }, caller.signal);
  const requestId = (): string => {
    const [start] = session.orders;
    return start?.$case === "startExec" ? start.value.requestId : "";
  };
  return { clock, session, relay, caller, open, requestId };
}

const { signal } = new AbortController();

const exited: ExecOutput = { message: { $case: "exited", value: { exitCode: 3 } } };

test("ExecRelay passes output on until the command has ended", async () => {
  const { relay, open, requestId } = connected();
  const { output } = open();
  async function* said(): AsyncGenerator<PushExecRequest> {
    yield PushExecRequest.fromPartial({ requestId: requestId() });
    yield PushExecRequest.fromPartial({ requestId: requestId(), output: exited });
  }
  for await (const _ of relay.push(said(), { signal }));
  expect(await output.take()).toEqual(exited);
  expect(await output.take()).toBeUndefined();
});

test("ExecRelay says when a command's end is missing", async () => {
  const { relay, open, requestId } = connected();
  const { output } = open();
  async function* said(): AsyncGenerator<PushExecRequest> {
    yield PushExecRequest.fromPartial({ requestId: requestId() });
    throw new Error("the connection broke");
  }
  for await (const _ of relay.push(said(), { signal }));
  await expect(output.take()).rejects.toMatchObject({ code: "BERTH_NODE_UNREACHABLE" });
});

test("ExecRelay waits neither for a node without an agent, nor for one that is silent or down", async () => {
  const { clock, relay, open } = connected();
  await expect(open("nobody").output.take()).rejects.toThrow(/not connected/);
  const silent = open();
  await clock.advance(5_000);
  await expect(silent.output.take()).rejects.toThrow(/does not answer/);
  const dead = open();
  relay.nodeIsGone("n1");
  await expect(dead.output.take()).rejects.toThrow(/is down/);
});

test("ExecRelay has the agent hang up when the caller is gone", async () => {
  const { session, caller, open } = connected();
  const { output } = open();
  caller.abort();
  expect(session.orders.map(({ $case }) => $case)).toEqual(["startExec", "stopExec"]);
  expect(await output.take()).toBeUndefined();
});
