import { IngressEntry } from "@berth/proto";
import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { buildService } from "../core/testing/records.js";
import { ClusterState } from "../state/cluster-state.js";
import { ManualClock } from "../testing/manual-clock.js";
import { EntryTable } from "./entry-table.js";
import { TrafficTables } from "./traffic-tables.js";

function entry(key: string, serviceName: string, ports: readonly number[] = []): IngressEntry {
  return IngressEntry.fromPartial({ key, serviceName, endpoints: ports.map((port) => ({ port })) });
}

describe("EntryTable", () => {
  it("returns the keys that a replacement changed, and no others", () => {
    const table = new EntryTable<IngressEntry>();
    expect(table.replaceOfService("s1", [entry("a", "x"), entry("b", "x")])).toEqual(["a", "b"]);
    expect(table.replaceOfService("s1", [entry("a", "x"), entry("b", "x", [1])])).toEqual(["b"]);
    expect(table.replaceOfService("s1", [entry("b", "x", [1])])).toEqual(["a"]);
    expect([...table.values()].map(({ key }) => key)).toEqual(["b"]);
  });

  it("keeps a key with the service that took it over", () => {
    const table = new EntryTable<IngressEntry>();
    table.replaceOfService("old", [entry("a", "old")]);
    table.replaceOfService("new", [entry("a", "new")]);
    expect(table.replaceOfService("old", [])).toEqual([]);
    expect(table.get("a")?.serviceName).toBe("new");
    expect(table.ofService("old")).toEqual([]);
    expect(table.ofService("new")).toHaveLength(1);
  });
});

/** Tables with one ingress entry a service, whose computation fails for the services in `broken`. */
function tablesWith(serviceIds: readonly string[]) {
  const clock = new ManualClock();
  const state = new ClusterState();
  const broken = new Set<string>();
  let port = 0;
  const put = (id: string): void => {
    port += 1;
    const change = { kind: "put-service", service: buildService({ id }) } as const;
    state.apply([{ change, revision: BigInt(port) }]);
  };
  const tables = new TrafficTables({
    state,
    clock,
    logger: pino({ level: "silent" }),
    computeIngressEntries: (id) => {
      if (broken.has(id)) throw new Error("broken record");
      return state.services.get(id) === undefined ? [] : [entry(id, id, [port])];
    },
    computeDnsEntries: () => [],
    hasStaticFdb: () => false,
    signal: new AbortController().signal,
  });
  for (const id of serviceIds) put(id);
  return { clock, tables, broken, put };
}

describe("TrafficTables", () => {
  it("notifies the other listeners when one of them throws", async () => {
    const { clock, tables } = tablesWith(["s1"]);
    const seen: string[] = [];
    tables.onChange(() => {
      throw new Error("broken listener");
    });
    tables.onChange(({ ingress }) => seen.push(...ingress));
    tables.onUpdated(() => seen.push("updated"));
    await clock.advance(5);
    expect(seen).toEqual(["s1", "updated"]);
  });

  it("updates the other services when one cannot be computed, and retries that one later", async () => {
    const { clock, tables, broken, put } = tablesWith(["bad", "good"]);
    broken.add("bad");
    await clock.advance(5);
    expect([...tables.ingress.values()].map(({ key }) => key)).toEqual(["good"]);
    expect(tables.isStale("bad")).toBe(true);
    broken.clear();
    put("good");
    await clock.advance(5);
    expect(tables.ingress.get("bad")).toBeDefined();
    expect(tables.isStale("bad")).toBe(false);
  });
});
