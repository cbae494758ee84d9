import { IngressEntry } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { EntryTable } from "./entry-table.js";

function entry(key: string, serviceName: string, ports: readonly number[] = []): IngressEntry {
  return IngressEntry.fromPartial({ key, serviceName, endpoints: ports.map((port) => ({ port })) });
}

describe("EntryTable.replace()", () => {
  it("names the keys that changed and no others", () => {
    const table = new EntryTable<IngressEntry>();
    expect(table.replace("s1", [entry("a", "x"), entry("b", "x")])).toEqual(["a", "b"]);
    expect(table.replace("s1", [entry("a", "x"), entry("b", "x", [1])])).toEqual(["b"]);
    expect(table.replace("s1", [entry("b", "x", [1])])).toEqual(["a"]);
    expect([...table.values()].map(({ key }) => key)).toEqual(["b"]);
  });

  it("leaves a key with the service that took it over", () => {
    const table = new EntryTable<IngressEntry>();
    table.replace("old", [entry("a", "old")]);
    table.replace("new", [entry("a", "new")]);
    expect(table.replace("old", [])).toEqual([]);
    expect(table.get("a")?.serviceName).toBe("new");
    expect(table.ofService("old")).toEqual([]);
    expect(table.ofService("new")).toHaveLength(1);
  });
});
