import { pino } from "pino";
import { afterEach, expect, it, vi } from "vitest";
import { GracefulShutdown, type GracefulShutdownOptions } from "./graceful-shutdown.js";

afterEach(() => {
  vi.useRealTimers();
});

it("GracefulShutdown releases the lock and stops accepting even if other resources cannot be released", async () => {
  // Holds back the timer that ends the process.
  vi.useFakeTimers();
  const steps: string[] = [];
  const fail = async (step: string): Promise<void> => {
    steps.push(step);
    throw new Error(`${step} failed`);
  };
  const options = {
    log: pino({ level: "silent" }),
    listeners: { active: 1, stop: async () => void steps.push("stop listeners") },
    discovery: { close: () => fail("close discovery") },
    path: { close: () => fail("close kernel path") },
    releaseControl: () => void steps.push("release control"),
  };
  const shutdown = new GracefulShutdown(options as unknown as GracefulShutdownOptions);
  await shutdown.begin("requested", "restart");
  expect(steps).toEqual(["close discovery", "close kernel path", "release control", "stop listeners"]);
});
