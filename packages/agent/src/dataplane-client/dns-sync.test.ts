import { DnsConfig } from "@berth/proto";
import { pino } from "pino";
import { afterEach, describe, expect, test, vi } from "vitest";
import { DnsSync } from "./dns-sync.js";

const log = pino({ level: "silent" });
const { signal } = new AbortController();
const EMPTY = DnsConfig.fromPartial({});
const withClient = (address: string): DnsConfig => DnsConfig.fromPartial({ clients: [{ address }] });

afterEach(() => {
  vi.useRealTimers();
});

describe("DnsSync", () => {
  test("applies a burst of changes as one configuration, and no configuration twice", async () => {
    const applied: DnsConfig[] = [];
    let now = withClient("10.64.1.2");
    const apply = async (config: DnsConfig): Promise<void> => void applied.push(config);
    const sync = new DnsSync({ apply, collect: () => now, log, signal });
    sync.scheduleUpdate();
    sync.scheduleUpdate();
    now = withClient("10.64.1.3");
    expect(await sync.whenApplied()).toBe(true);
    expect(applied).toEqual([withClient("10.64.1.3")]);
    now = withClient("10.64.1.3");
    sync.scheduleUpdate();
    await sync.whenApplied();
    expect(applied).toHaveLength(1);
  });

  test("reports a failed apply until a later one succeeds", async () => {
    let fails = true;
    const apply = async (): Promise<void> => {
      if (fails) throw new Error("gone");
    };
    const sync = new DnsSync({ apply, collect: () => EMPTY, log, signal });
    sync.scheduleUpdate();
    expect(await sync.whenApplied()).toBe(false);
    expect(await sync.whenApplied()).toBe(false);
    fails = false;
    sync.scheduleUpdate();
    expect(await sync.whenApplied()).toBe(true);
  });

  test("applies later changes after the configuration could not be collected", async () => {
    let isBroken = true;
    const applied: DnsConfig[] = [];
    const collect = (): DnsConfig => {
      if (isBroken) throw new Error("invalid entry");
      return EMPTY;
    };
    const sync = new DnsSync({ apply: async (config) => void applied.push(config), collect, log, signal });
    sync.scheduleUpdate();
    expect(await sync.whenApplied()).toBe(false);
    isBroken = false;
    sync.scheduleUpdate();
    expect(await sync.whenApplied()).toBe(true);
    expect(applied).toEqual([EMPTY]);
  });

  test("retries a failed apply with back-off, without another change", async () => {
    vi.useFakeTimers();
    let failures = 2;
    const triedMs: number[] = [];
    const startMs = Date.now();
    const apply = async (): Promise<void> => {
      triedMs.push(Date.now() - startMs);
      failures -= 1;
      if (failures >= 0) throw new Error("gone");
    };
    const sync = new DnsSync({ apply, collect: () => EMPTY, log, signal });
    sync.scheduleUpdate();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(triedMs.map((ms) => Math.floor(ms / 1_000))).toEqual([0, 1, 3]);
    expect(await sync.whenApplied()).toBe(true);
  });

  test("leaves a process with a newer configuration alone until the leader has sent one", async () => {
    const applied: DnsConfig[] = [];
    const apply = async (config: DnsConfig): Promise<void> => void applied.push(config);
    const sync = new DnsSync({ apply, collect: () => withClient("10.64.1.2"), isPaused: true, log, signal });
    sync.scheduleUpdate();
    await sync.whenApplied();
    expect(applied).toEqual([]);
    sync.resume();
    expect(await sync.whenApplied()).toBe(true);
    expect(applied).toHaveLength(1);
  });

  test("has clients until a configuration without clients is applied", async () => {
    let now = withClient("10.64.1.2");
    const sync = new DnsSync({ apply: async () => {}, collect: () => now, log, signal });
    expect(sync.hasClients).toBe(false);
    sync.scheduleUpdate();
    await sync.whenApplied();
    expect(sync.hasClients).toBe(true);
    now = EMPTY;
    sync.scheduleUpdate();
    await sync.whenApplied();
    expect(sync.hasClients).toBe(false);
  });
});
