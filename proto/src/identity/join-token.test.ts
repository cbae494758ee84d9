import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  createJoinToken,
  formatJoinToken,
  hashJoinToken,
  type JoinTokenRecord,
  parseJoinToken,
  useToken,
} from "./join-token.js";

const hexOf = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((b) => Buffer.from(b));
const token = fc
  .tuple(fc.constantFrom("server" as const, "node" as const), hexOf(32), hexOf(16))
  .map(([kind, fingerprint, random]) => createJoinToken(kind, fingerprint.toString("hex"), random));

describe("parseJoinToken()", () => {
  it("returns what was formatted, and ignores space around it", () => {
    fc.assert(
      fc.property(token, (token) => {
        expect(parseJoinToken(` ${formatJoinToken(token)}\n`)).toEqual(token);
      }),
    );
  });

  it("rejects a text in which one character is changed, missing or swapped", () => {
    const position = fc.nat(1_000);
    const edit = fc.constantFrom("replace", "remove", "swap");
    fc.assert(
      fc.property(
        token,
        position,
        edit,
        fc.constantFrom(..."0123456789abcdef-x"),
        (token, at, edit, char) => {
          const text = formatJoinToken(token);
          const i = at % (text.length - 1);
          const [a = "", b = ""] = [text[i], text[i + 1]];
          const middle = edit === "replace" ? char + b : edit === "remove" ? b : b + a;
          const changed = text.slice(0, i) + middle + text.slice(i + 2);
          if (changed === text) return;
          expect(() => parseJoinToken(changed)).toThrow(
            expect.objectContaining({ code: "BERTH_TOKEN_INVALID" }),
          );
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("does not repeat the token in its error", () => {
    const text = formatJoinToken(createJoinToken("node", "ab".repeat(32), Buffer.alloc(16, 7)));
    expect(() => parseJoinToken(text.slice(1))).toThrow(/^(?!.*0707)/);
    expect(() => parseJoinToken("x".repeat(1_000_000))).toThrow(/does not have the form/);
  });
});

describe("useToken()", () => {
  const text = formatJoinToken(createJoinToken("node", "ab".repeat(32), Buffer.alloc(16, 7)));
  const record: JoinTokenRecord = {
    kind: "node",
    hash: hashJoinToken(text),
    expiresAtMs: 1_000,
    usesLeft: 1,
    nodeName: undefined,
  };
  const attempt = { text, kind: "node", nodeName: "n1" } as const;

  it("accepts the token and counts its use", () => {
    const use = useToken(record, attempt, 999);
    expect(use).toEqual({ kind: "accepted", record: { ...record, usesLeft: 0 } });
    if (use.kind === "accepted") {
      expect(useToken(use.record, attempt, 999)).toEqual({ kind: "rejected", reason: "used-up" });
    }
  });

  it.each([
    ["another token", record, { ...attempt, text: `${text}0` }, 0, "wrong-token"],
    ["a token of another kind", record, { ...attempt, kind: "server" as const }, 0, "wrong-token"],
    ["an expired token", record, attempt, 1_000, "expired"],
    ["another node than the token is for", { ...record, nodeName: "n2" }, attempt, 0, "other-node"],
    ["any token for a damaged record", { ...record, hash: "zz" }, attempt, 0, "wrong-token"],
  ])("rejects %s", (_, record, attempt, nowMs, reason) => {
    expect(useToken(record, attempt, nowMs)).toEqual({ kind: "rejected", reason });
  });

  it("stores nothing that contains the secret", () => {
    expect(JSON.stringify(record)).not.toContain("0707");
  });
});
