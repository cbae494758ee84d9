import { FileContent, FileKind, type FileVersion } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { createClusterKey } from "../../identity/cluster-key.js";
import { createFileSealer } from "../../identity/file-sealer.js";
import { type ApplyFileResult, applyFile } from "./apply-file.js";

const sealer = createFileSealer(createClusterKey());

const config = (content: string, over: Partial<FileContent> = {}): FileContent =>
  FileContent.fromPartial({ kind: FileKind.CONFIG, name: "nginx", content: Buffer.from(content), ...over });

const apply = (newest: FileVersion | undefined, content: FileContent, id = "f2"): ApplyFileResult =>
  applyFile(newest, content, { id, stack: "shop", nowMs: 7, sealer });

describe("applyFile()", () => {
  const { file: first } = apply(undefined, config("a", { labels: { team: "x" } }), "f1");

  it("creates the first version without the content in clear", () => {
    expect(first).toMatchObject({
      id: "f1",
      name: "nginx",
      version: 1,
      stack: "shop",
      sizeBytes: 1,
      createdAtMs: 7,
    });
    expect(sealer.open(first).toString()).toBe("a");
  });

  it.each([
    ["the same content", config("a", { labels: { team: "x" } }), "unchanged", "f1", 1],
    ["another content", config("b", { labels: { team: "x" } }), "updated", "f2", 2],
    ["another label", config("a", { labels: { team: "y" } }), "relabeled", "f1", 1],
    ["no label", config("a"), "relabeled", "f1", 1],
    ["the same content as a template", config("a", { isTemplate: true }), "updated", "f2", 2],
  ] as const)("%s is %s", (_, content, kind, id, version) => {
    expect(apply(first, content)).toMatchObject({ kind, file: { id, version } });
  });

  it("adds a version to a removed config, so that tasks with the old content do not keep it from being created", () => {
    const again = apply({ ...first, removing: true }, config("a"));
    expect(again).toMatchObject({ kind: "created", file: { id: "f2", version: 2, removing: false } });
  });
});
