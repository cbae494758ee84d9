import { pino } from "pino";
import { expect, test } from "vitest";
import { type DnsTable, EMPTY_DNS_TABLE } from "../dataplane/dns/dns-table.js";
import { DnsSync } from "./dns-sync.js";

const log = pino({ level: "silent" });
const { signal } = new AbortController();
const asker = (address: string): DnsTable => ({
  ...EMPTY_DNS_TABLE,
  clients: [{ address, networkIds: [], dns: [] }],
});

test("NamesSync brings a burst of changes as one table, and none that is there already", async () => {
  const tables: DnsTable[] = [];
  let now = asker("10.64.1.2");
  const apply = async (names: DnsTable): Promise<void> => void tables.push(names);
  const sync = new DnsSync({ apply, collect: () => now, log, signal });
  sync.changed();
  sync.changed();
  now = asker("10.64.1.3");
  expect(await sync.inForce()).toBe(true);
  expect(tables).toEqual([asker("10.64.1.3")]);
  sync.changed();
  await sync.inForce();
  expect(tables).toHaveLength(1);
});

test("NamesSync vouches for nothing that the process did not take, and brings it again", async () => {
  let fails = true;
  const apply = async (): Promise<void> => {
    if (fails) throw new Error("gone");
  };
  const sync = new DnsSync({ apply, collect: () => EMPTY_DNS_TABLE, log, signal });
  sync.changed();
  expect(await sync.inForce()).toBe(false);
  // Also to who asks when nothing is under way any more.
  expect(await sync.inForce()).toBe(false);
  fails = false;
  sync.changed();
  expect(await sync.inForce()).toBe(true);
});

test("NamesSync leaves a process that has newer names alone until the leader has spoken", async () => {
  const tables: DnsTable[] = [];
  const apply = async (names: DnsTable): Promise<void> => void tables.push(names);
  const sync = new DnsSync({ apply, collect: () => asker("10.64.1.2"), isHeld: true, log, signal });
  sync.changed();
  await sync.inForce();
  expect(tables).toEqual([]);
  sync.told();
  expect(await sync.inForce()).toBe(true);
  expect(tables).toHaveLength(1);
});

test("NamesSync knows of containers that are known to ask until it has told the process that there are none", async () => {
  let now = asker("10.64.1.2");
  const sync = new DnsSync({ apply: async () => {}, collect: () => now, log, signal });
  expect(sync.hasAskers).toBe(false);
  sync.changed();
  await sync.inForce();
  expect(sync.hasAskers).toBe(true);
  now = EMPTY_DNS_TABLE;
  sync.changed();
  await sync.inForce();
  expect(sync.hasAskers).toBe(false);
});
