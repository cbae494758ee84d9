import { describe, expect, it } from "vitest";
import { createClusterKey, formatClusterKey, open, parseClusterKey, seal } from "./cluster-key.js";

const key = createClusterKey();

describe("seal() and open()", () => {
  it("return the text again, and a different sealed text each time", () => {
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
  ])("reject %s", (_, openingKey, change, context) => {
    const sealed = seal(key, "secret", "a");
    expect(() => open(openingKey, change(sealed), context)).toThrow(
      expect.objectContaining({ code: "BERTH_IDENTITY_INVALID" }),
    );
  });
});

describe("parseClusterKey()", () => {
  it("returns the key that was formatted", () => {
    expect(parseClusterKey(formatClusterKey(key))).toEqual(key);
  });

  it.each(["", "00", "x".repeat(64)])("rejects %j without repeating it", (text) => {
    expect(() => parseClusterKey(text)).toThrow(/does not have 64 hexadecimal digits/);
  });
});
