import { type PushLogsRequest, StartLogs } from "@berth/proto";
import { pino } from "pino";
import { expect, test } from "vitest";
import { containerWith } from "../core/tasks/testing.js";
import type { Engine, LogRecord } from "../engine/engine.js";
import { LogRelay } from "./log-relay.js";

async function* noLines(): AsyncGenerator<LogRecord> {}

/** What the leader hears when it asks for the log of a task. */
function heard(containerOf: () => ReturnType<typeof containerWith> | undefined): Promise<PushLogsRequest[]> {
  const engine: Pick<Engine, "logs"> = { logs: noLines };
  const relay = new LogRelay({ engine, containerOf, log: pino({ level: "silent" }) });
  return new Promise((resolve) => {
    const pushLogs = async (messages: AsyncIterable<PushLogsRequest>): Promise<Record<string, never>> => {
      const all: PushLogsRequest[] = [];
      for await (const message of messages) all.push(message);
      resolve(all);
      return {};
    };
    relay.start({ pushLogs }, StartLogs.fromPartial({ requestId: "r1", taskId: "task1", tail: -1 }));
  });
}

test("LogRelay answers for a log without a line, so that the leader does not take the node for silent", async () => {
  expect(await heard(() => containerWith())).toEqual([{ requestId: "r1", entries: [], error: "" }]);
});

test("LogRelay says why a log is not to be had", async () => {
  expect((await heard(() => undefined)).at(-1)?.error).toMatch(/no container/);
});
