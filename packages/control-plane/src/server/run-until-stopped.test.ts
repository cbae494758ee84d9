import { pino } from "pino";
import { expect, it, vi } from "vitest";
import { linkSignals, untilAborted } from "../runtime/abort.js";
import { type Loop, runLoop, runUntilStopped } from "./run-until-stopped.js";

const logger = pino({ level: "silent" });

it("stops all loops when one of them fails, and rejects with its error", async () => {
  const failure = new Error("the watch is broken");
  const serving = linkSignals();
  const ended = vi.fn();
  const waiting: Loop = async (signal) => {
    await untilAborted(signal);
    ended();
  };
  const failing: Loop = () => Promise.reject(failure);

  await expect(runUntilStopped([waiting, failing], serving, logger)).rejects.toBe(failure);

  expect(ended).toHaveBeenCalledOnce();
  expect(serving.signal.reason).toBe(failure);
});

it("rejects with an error of the shutdown, after all loops have ended", async () => {
  const failure = new Error("cannot close the listener");
  const stop = new AbortController();
  const ended: string[] = [];
  const failing: Loop = async (signal) => {
    await untilAborted(signal);
    throw failure;
  };
  const slow: Loop = async (signal) => {
    await untilAborted(signal);
    await Promise.resolve();
    ended.push("slow");
  };
  const stopped = runUntilStopped([failing, slow], linkSignals(stop.signal), logger);

  stop.abort();

  await expect(stopped).rejects.toBe(failure);
  expect(ended).toEqual(["slow"]);
});

it("logs the errors of further loops", async () => {
  const first = new Error("first");
  const second = new Error("second");
  const error = vi.fn();
  const recording = Object.assign(pino({ level: "silent" }), { error });

  const stopped = runUntilStopped(
    [() => Promise.reject(first), () => Promise.reject(second)],
    linkSignals(),
    recording,
  );

  await expect(stopped).rejects.toBe(first);
  expect(error).toHaveBeenCalledWith({ err: second }, "another part of the server failed");
});

it("resolves once all loops have ended", async () => {
  const stop = new AbortController();
  const serving = linkSignals(stop.signal);
  const stopped = runUntilStopped([untilAborted, () => Promise.resolve()], serving, logger);

  stop.abort();

  await expect(stopped).resolves.toBeUndefined();
});

it("runs a single loop, whose failure aborts the signal", async () => {
  const failure = new Error("the disk is full");
  const serving = linkSignals();
  await expect(runLoop(() => Promise.reject(failure), serving)).rejects.toBe(failure);
  expect(serving.signal.reason).toBe(failure);
});
