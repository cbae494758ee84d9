import { FileKind, FileVersion } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { FileTable } from "./file-table.js";

const version = (id: string, number: number, over: Partial<FileVersion> = {}): FileVersion =>
  FileVersion.fromPartial({
    id,
    version: number,
    kind: FileKind.SECRET,
    name: "password",
    stack: "shop",
    sealedContent: Buffer.alloc(10),
    ...over,
  });

const idsOf = (files: Iterable<FileVersion>): readonly string[] => [...files].map(({ id }) => id);

describe("FileTable", () => {
  it("orders versions by number, and separates secrets from configs of the same name", () => {
    const files = new FileTable();
    for (const file of [
      version("b", 2),
      version("a", 1),
      version("c", 1, { kind: FileKind.CONFIG, stack: "" }),
    ]) {
      files.put(file);
    }
    expect(idsOf(files.versionsOf(FileKind.SECRET, "password"))).toEqual(["b", "a"]);
    expect(files.newest(FileKind.SECRET, "password")?.id).toBe("b");
    expect(files.newest(FileKind.CONFIG, "password")?.id).toBe("c");
    expect(idsOf(files.newestOfAll())).toEqual(["b", "c"]);
    expect(idsOf(files.ofStack("shop").values())).toEqual(["b"]);
    expect(files.sealedBytes).toBe(30);
  });

  it("falls back to the older version when the newest is deleted, and forgets the last one", () => {
    const files = new FileTable();
    files.put(version("a", 1));
    files.put(version("b", 2));
    expect([...files.collectable()].map(idsOf)).toEqual([["b", "a"]]);
    files.delete("b");
    expect(files.newest(FileKind.SECRET, "password")?.id).toBe("a");
    expect(idsOf(files.ofStack("shop").values())).toEqual(["a"]);
    expect(files.hasCollectable).toBe(false);
    files.put(version("a", 1, { removing: true }));
    expect([...files.collectable()].map(idsOf)).toEqual([["a"]]);
    files.delete("a");
    expect([files.hasCollectable, files.sealedBytes, idsOf(files.newestOfAll())]).toEqual([false, 0, []]);
    expect(files.ofStack("shop").size).toBe(0);
  });
});
