import { EventEmitter } from "node:events";
import { pino } from "pino";
import { expect, test } from "vitest";
import { runProcess } from "./main.js";
import { untilAborted } from "./runtime/abort.js";

function start(run: (signal: AbortSignal) => Promise<void> = untilAborted) {
  const events = new EventEmitter() as EventEmitter & NodeJS.Process;
  const lines: string[] = [];
  const logger = pino({ base: null }, { write: (line) => lines.push(line) });
  const exitCode = runProcess(run, { logger, events, exit: () => {} });
  return { events, lines, exitCode };
}

test("runProcess logs the reason of an unhandled rejection, stops and returns 1", async () => {
  const { events, lines, exitCode } = start();
  events.emit("unhandledRejection", new Error("a bug"), Promise.resolve());
  expect(await exitCode).toBe(1);
  expect(lines.join()).toContain("a bug");
});

test("runProcess stops on SIGTERM and returns 0", async () => {
  const { events, exitCode } = start();
  events.emit("SIGTERM", "SIGTERM");
  expect(await exitCode).toBe(0);
});

test.each([
  { error: new Error("cannot resign"), logged: true },
  { error: new DOMException("aborted", "AbortError"), logged: false },
])(
  "runProcess logs a failure while the process stops: $error.message, $logged",
  async ({ error, logged }) => {
    const { events, lines, exitCode } = start(async (signal) => {
      await untilAborted(signal);
      throw error;
    });
    events.emit("SIGTERM", "SIGTERM");
    expect(await exitCode).toBe(0);
    expect(lines.join().includes(error.message)).toBe(logged);
  },
);

test("runProcess fails with the error of a run that was not stopped", async () => {
  const events = new EventEmitter() as EventEmitter & NodeJS.Process;
  const logger = pino({ level: "silent" });
  const run = (): Promise<void> => Promise.reject(new Error("no etcd"));
  await expect(runProcess(run, { logger, events })).rejects.toThrow("no etcd");
  expect(events.eventNames()).toEqual([]);
});
