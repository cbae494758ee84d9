import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type ServiceManagerOptions, serviceManager } from "./service-manager.js";

const WATCHED = { NOTIFY_SOCKET: "/run/systemd/notify", WATCHDOG_USEC: "30000000" };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function managerWith(options: Partial<ServiceManagerOptions> = {}) {
  const reports: string[] = [];
  const failures: Error[] = [];
  const manager = serviceManager({
    env: WATCHED,
    onFailure: (error) => failures.push(error),
    notify: async (assignments) => void reports.push(assignments.join(" ")),
    ...options,
  });
  return { manager, reports, failures };
}

it("reports to the watchdog three times in its interval, once the service is ready", async () => {
  const { manager, reports } = managerWith();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(reports).toEqual([]);
  await manager.ready();
  await vi.advanceTimersByTimeAsync(30_000);
  expect(reports).toEqual(["READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"]);
});

it("leaves the watchdog to the process that replaces this one", async () => {
  const { manager, reports } = managerWith();
  await manager.ready();
  await manager.replaceMainProcess(42);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(reports).toEqual(["READY=1", "MAINPID=42 WATCHDOG=1"]);
});

it("reports that the service stops as the last message", async () => {
  const { manager, reports } = managerWith();
  await manager.ready();
  await manager.stopping();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(reports).toEqual(["READY=1", "STOPPING=1"]);
});

it.each([[undefined], ["0"], ["soon"]])("a unit with the interval %s has no watchdog", async (interval) => {
  const { manager, reports } = managerWith({ env: { ...WATCHED, WATCHDOG_USEC: interval } });
  await manager.ready();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(reports).toEqual(["READY=1"]);
});

it("a process that systemd did not start reports nothing", async () => {
  const { manager, reports } = managerWith({ env: {} });
  await manager.ready();
  await manager.replaceMainProcess(42);
  await manager.stopping();
  expect(reports).toEqual([]);
});

it("a failed report does not reject, and the next one follows", async () => {
  const notify = vi.fn().mockRejectedValueOnce(new Error("no memory")).mockResolvedValue(undefined);
  const { manager, failures } = managerWith({ notify });
  await manager.ready();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(failures.map(({ message }) => message)).toEqual(["no memory"]);
  expect(notify).toHaveBeenLastCalledWith(["WATCHDOG=1"]);
});

it("names the missing program when systemd-notify cannot run", async () => {
  vi.useRealTimers();
  const failures: Error[] = [];
  const env = { NOTIFY_SOCKET: "/nonexistent", PATH: "/nonexistent" };
  await serviceManager({ env, onFailure: (error) => failures.push(error) }).ready();
  expect(failures.map(({ message }) => message)).toEqual(["spawn systemd-notify ENOENT"]);
});
