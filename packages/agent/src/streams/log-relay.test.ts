import { type PushLogsRequest, StartLogs } from "@berth/proto";
import { pino } from "pino";
import { expect, test } from "vitest";
import { containerWith } from "../core/tasks/testing.js";
import type { Engine, LogRecord } from "../engine/engine.js";
import { LogRelay } from "./log-relay.js";

async function* noLines(): AsyncGenerator<LogRecord> {}

/** Returns the messages that the leader receives when it requests the log of a task. */
function messagesOf(
  containerOf: () => ReturnType<typeof containerWith> | undefined,
): Promise<PushLogsRequest[]> {
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

test("LogRelay sends a message for an empty log, so that the leader knows that the node responds", async () => {
  expect(await messagesOf(() => containerWith())).toEqual([{ requestId: "r1", entries: [], error: "" }]);
});

test("LogRelay reports why a log cannot be read", async () => {
  expect((await messagesOf(() => undefined)).at(-1)?.error).toMatch(/no container/);
});

test("LogRelay waits for the container of a task that the agent has not observed yet", async () => {
  let observations = 0;
  const messages = await messagesOf(() => {
    observations += 1;
    return observations < 3 ? undefined : containerWith();
  });
  expect(messages).toEqual([{ requestId: "r1", entries: [], error: "" }]);
});
