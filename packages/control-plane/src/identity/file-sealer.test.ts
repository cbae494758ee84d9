import { FileKind, FileVersion } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { ClusterKey, createClusterKey, createKeyVersion, type KeyVersion } from "./cluster-key.js";
import { createFileSealer } from "./file-sealer.js";

const key = createClusterKey();
const sealer = createFileSealer(key);
const SECRET = { id: "f1", kind: FileKind.SECRET, name: "password" } as const;
/** Not valid UTF-8. */
const CONTENT = Buffer.from([0, 0xff, 0xfe, 0x68, 0x69]);

const sealed = (over: Partial<FileVersion> = {}): FileVersion =>
  FileVersion.fromPartial({ ...SECRET, sealedContent: sealer.seal(SECRET, CONTENT), ...over });

describe("createFileSealer()", () => {
  it("opens the bytes that it sealed", () => {
    expect(sealer.open(sealed())).toEqual(CONTENT);
    expect(sealed().sealedContent.includes(CONTENT)).toBe(false);
  });

  it.each([
    ["another version", sealer, { id: "f2" }],
    ["another name", sealer, { name: "other" }],
    ["another kind", sealer, { kind: FileKind.CONFIG }],
    ["another cluster key", createFileSealer(createClusterKey()), {}],
    ["no content", sealer, { sealedContent: Buffer.alloc(0) }],
  ])("does not open it as %s", (_, opener, over) => {
    expect(() => opener.open(sealed(over))).toThrow(
      expect.objectContaining({ code: "BERTH_IDENTITY_INVALID" }),
    );
  });

  it("returns equal hashes for equal contents of one secret only, and other hashes with another key", () => {
    const mac = sealer.mac(SECRET, CONTENT);
    expect(createFileSealer(key).mac({ ...SECRET }, CONTENT)).toEqual(mac);
    expect(sealer.mac(SECRET, Buffer.from("x"))).not.toEqual(mac);
    expect(sealer.mac({ ...SECRET, name: "other" }, CONTENT)).not.toEqual(mac);
    expect(sealer.mac({ ...SECRET, kind: FileKind.CONFIG }, CONTENT)).not.toEqual(mac);
    expect(createFileSealer(createClusterKey()).mac(SECRET, CONTENT)).not.toEqual(mac);
  });

  it("recognizes a content whose hash is of either version of the cluster key", () => {
    const [current, next] = [createKeyVersion(), createKeyVersion()];
    const hashed = (version: KeyVersion): FileVersion =>
      FileVersion.fromPartial({
        ...SECRET,
        contentMac: createFileSealer(new ClusterKey(version)).mac(SECRET, CONTENT),
      });
    const both = createFileSealer(new ClusterKey(current, next));
    for (const version of [current, next]) {
      expect(both.hasContent(hashed(version), CONTENT)).toBe(true);
      expect(both.hasContent(hashed(version), Buffer.from("x"))).toBe(false);
    }
    expect(sealer.hasContent(hashed(current), CONTENT)).toBe(false);
  });
});
