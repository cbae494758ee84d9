import { describe, expect, it } from "vitest";
import {
  ClusterKey,
  createClusterKey,
  createKeyVersion,
  formatClusterKey,
  type KeyVersion,
  keyVersion,
  open,
  openWith,
  parseClusterKey,
  seal,
} from "./cluster-key.js";

const key = createClusterKey();

describe("seal() and open()", () => {
  it("open() returns the text that seal() got, and each sealed text differs", () => {
    const sealed = seal(key, "secret", "a");
    expect(open(key, sealed, "a")).toBe("secret");
    expect(sealed.toString("latin1")).not.toContain("secret");
    expect(seal(key, "secret", "a")).not.toEqual(sealed);
  });

  it.each([
    ["another key", createClusterKey(), (sealed: Buffer) => sealed, "a"],
    ["another context", key, (sealed: Buffer) => sealed, "b"],
    [
      "a changed byte",
      key,
      (sealed: Buffer) => Buffer.from(sealed.map((b, i) => (i === 30 ? b ^ 1 : b))),
      "a",
    ],
    ["a truncated text", key, (sealed: Buffer) => sealed.subarray(0, 20), "a"],
    ["an empty text", key, () => Buffer.alloc(0), "a"],
  ])("open() rejects %s", (_, openingKey, change, context) => {
    const sealed = seal(key, "secret", "a");
    expect(() => open(openingKey, change(sealed), context)).toThrow(
      expect.objectContaining({ code: "BERTH_IDENTITY_INVALID" }),
    );
  });
});

describe("a cluster key with two versions", () => {
  const [current, next] = [createKeyVersion(), createKeyVersion()];
  const only = (version: KeyVersion): ClusterKey => new ClusterKey(version);

  it("opens what either version has sealed, and seals with the current one unless useForSealing() has selected the next one", () => {
    const both = new ClusterKey(current, next);
    expect(open(both, seal(only(current), "a", "c"), "c")).toBe("a");
    expect(open(both, seal(only(next), "a", "c"), "c")).toBe("a");
    expect(open(only(current), seal(both, "a", "c"), "c")).toBe("a");
    both.useForSealing(next.id);
    expect(openWith(both, seal(both, "a", "c"), "c")).toEqual({ content: Buffer.from("a"), keyId: next.id });
    expect(() => open(only(current), seal(both, "a", "c"), "c")).toThrow(/a different cluster key/);
  });

  it("has ids that say nothing about the keys, and are the same on all servers", () => {
    expect(current.id).toMatch(/^[0-9a-f]{32}$/);
    expect(current.id).not.toBe(next.id);
    expect(current.bytes.toString("hex")).not.toContain(current.id);
    expect(keyVersion(current.bytes)).toEqual(current);
    expect(() => keyVersion(Buffer.alloc(31))).toThrow(/31 bytes instead of 32/);
  });
});

describe("parseClusterKey()", () => {
  it("returns the key that was formatted", () => {
    expect(parseClusterKey(formatClusterKey(key)).versions).toEqual(key.versions);
    const [current, next] = [createKeyVersion(), createKeyVersion()];
    const parsed = parseClusterKey(formatClusterKey(new ClusterKey(current, next)));
    expect([parsed.current, parsed.next]).toEqual([current, next]);
  });

  it.each(["", "00", "x".repeat(64), `${"0".repeat(64)}\n`.repeat(3)])(
    "rejects %j without repeating it",
    (text) => {
      expect(() => parseClusterKey(text)).toThrow(/does not have one or two lines of 64 hexadecimal digits/);
    },
  );
});
