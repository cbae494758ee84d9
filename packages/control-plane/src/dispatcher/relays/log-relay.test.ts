import { PushLogsRequest } from "@berth/proto";
import { expect, test } from "vitest";
import { systemRuntime } from "../../runtime/runtime.js";
import { ManualClock } from "../../testing/manual-clock.js";
import type { AgentCommand, Session } from "../session.js";
import { LogRelay } from "./log-relay.js";

const NODE = { kind: "node", id: "n1" } as const;
const never = new AbortController().signal;

function connected() {
  const clock = new ManualClock();
  const commands: AgentCommand[] = [];
  const session = { isEnded: false, send: (command: AgentCommand) => commands.push(command) > 0 };
  const relay = new LogRelay({
    runtime: { ...systemRuntime, clock },
    sessionOf: (nodeId) => (nodeId === "n1" ? (session as unknown as Session) : undefined),
  });
  const caller = new AbortController();
  const open = (follow: boolean, client = "c1") =>
    relay.open(
      { nodeId: "n1", client, taskId: "t1", follow, tail: -1, sinceMs: 0, untilMs: 0 },
      caller.signal,
    );
  return { clock, commands, relay, caller, open };
}

test("LogRelay fails a log that its node does not respond for, followed or not", async () => {
  const { clock, open } = connected();
  const logs = [open(false), open(true)];
  await clock.advance(5_000);
  for (const log of logs) await expect(log.take()).rejects.toThrow(/does not respond/);
});

test("LogRelay follows a log without new lines for as long as its agent is connected", async () => {
  const { clock, commands, relay, caller, open } = connected();
  const log = open(true);
  const [start] = commands;
  const requestId = start?.$case === "startLogs" ? start.value.requestId : "";
  let end = (): void => {};
  async function* stream(): AsyncGenerator<PushLogsRequest> {
    yield PushLogsRequest.fromPartial({ requestId });
    await new Promise<void>((resolve) => {
      end = resolve;
    });
  }
  const pushed = relay.serve(stream(), { caller: NODE, signal: never });
  await clock.advance(60_000);
  expect(log.isEnded).toBe(false);
  caller.abort();
  expect(commands.map(({ $case }) => $case)).toEqual(["startLogs", "stopLogs"]);
  end();
  await pushed;
});

test("LogRelay gives one client at most half of the logs of a node, so that others can read logs too", async () => {
  const { commands, open } = connected();
  const openMany = (client: string) => Array.from({ length: 300 }, () => open(true, client));
  const first = openMany("c1");
  expect(first.filter((log) => !log.isEnded)).toHaveLength(200);
  await expect(first.at(-1)?.take()).rejects.toMatchObject({ code: "BERTH_LIMIT_EXCEEDED" });
  expect(openMany("c2").filter((log) => !log.isEnded)).toHaveLength(100);
  expect(open(true, "c3").isEnded).toBe(false);
  expect(commands).toHaveLength(301);
  first[0]?.end();
  expect(open(true, "c1").isEnded).toBe(true);
  for (const log of first) log.end();
  expect(open(true, "c1").isEnded).toBe(false);
});

test("rpc-matrix: LogRelay refuses the lines of a node that was not asked", async () => {
  const { commands, relay, open } = connected();
  const log = open(false);
  const [start] = commands;
  const requestId = start?.$case === "startLogs" ? start.value.requestId : "";
  async function* stream(line: string): AsyncGenerator<PushLogsRequest> {
    yield PushLogsRequest.fromPartial({ requestId, entries: [{ line: Buffer.from(line) }] });
  }
  const other = relay.serve(stream("forged"), { caller: { kind: "node", id: "n2" }, signal: never });
  await expect(other).rejects.toMatchObject({ code: "BERTH_NOT_FOUND" });
  const pushed = relay.serve(stream("true"), { caller: NODE, signal: never });
  expect((await log.take())?.map(({ line }) => Buffer.from(line).toString())).toEqual(["true"]);
  await pushed;
});
