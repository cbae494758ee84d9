import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JoinKind, JoinToken } from "../../gen/berth/v1/cluster.js";
import { formatJoinToken, joinTokenId, parseJoinToken, tokenRejection } from "./join-token.js";

const hexOf = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((b) => Buffer.from(b));
const parts = fc.tuple(
  fc.constantFrom(JoinKind.SERVER, JoinKind.NODE, JoinKind.USER),
  hexOf(32).map((bytes) => bytes.toString("hex")),
  hexOf(16),
);

describe("parseJoinToken()", () => {
  it("returns what was formatted, and ignores space around it", () => {
    fc.assert(
      fc.property(parts, ([kind, caFingerprint, random]) => {
        const text = formatJoinToken(kind, caFingerprint, random);
        const { hash } = parseJoinToken(text);
        expect(parseJoinToken(` ${text}\n`)).toEqual({ kind, caFingerprint, hash });
        expect(hash).not.toContain(random.toString("hex"));
      }),
    );
  });

  it("rejects a text in which one character is changed, missing or swapped", () => {
    const position = fc.nat(1_000);
    const edit = fc.constantFrom("replace", "remove", "swap");
    fc.assert(
      fc.property(
        parts,
        position,
        edit,
        fc.constantFrom(..."0123456789abcdef-x"),
        ([kind, fingerprint, random], at, edit, char) => {
          const text = formatJoinToken(kind, fingerprint, random);
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
    const text = formatJoinToken(JoinKind.NODE, "ab".repeat(32), Buffer.alloc(16, 7));
    expect(() => parseJoinToken(text.slice(1))).toThrow(/^(?!.*0707)/);
    expect(() => parseJoinToken("x".repeat(1_000_000))).toThrow(/does not have the form/);
  });
});

describe("tokenRejection()", () => {
  const text = formatJoinToken(JoinKind.NODE, "ab".repeat(32), Buffer.alloc(16, 7));
  const token = parseJoinToken(text);
  const record = JoinToken.fromPartial({
    id: joinTokenId(token.hash),
    kind: JoinKind.NODE,
    hash: token.hash,
    expiresAtMs: 1_000,
    usesLeft: 1,
  });
  const attempt = { token, subject: "n1" };

  it("accepts a token until it expires", () => {
    expect(tokenRejection(record, attempt, 999)).toBeUndefined();
    expect(tokenRejection({ ...record, subject: "n1" }, attempt, 999)).toBeUndefined();
  });

  const other = parseJoinToken(formatJoinToken(JoinKind.NODE, "ab".repeat(32), Buffer.alloc(16, 8)));
  it.each([
    ["a token without a record", undefined, attempt, 0, "unknown"],
    ["another token", record, { ...attempt, token: other }, 0, "unknown"],
    [
      "a token of another kind",
      record,
      { ...attempt, token: { ...token, kind: JoinKind.SERVER } },
      0,
      "unknown",
    ],
    ["an expired token", record, attempt, 1_000, "expired"],
    ["a token that was used", { ...record, usesLeft: 0 }, attempt, 0, "used-up"],
    ["another host than the token is for", { ...record, subject: "n2" }, attempt, 0, "other-subject"],
    ["any token for a damaged record", { ...record, hash: "zz" }, attempt, 0, "unknown"],
  ])("tokenRejection rejects %s", (_, record, attempt, nowMs, reason) => {
    expect(tokenRejection(record, attempt, nowMs)).toBe(reason);
  });
});
