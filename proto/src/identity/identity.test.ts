import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { describeIdentity, formatIdentityUri, type Identity, parseIdentityUri } from "./identity.js";

const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);
const identity: fc.Arbitrary<Identity> = fc.oneof(
  fc.record({ kind: fc.constantFrom("server" as const, "node" as const), id: name }),
  fc.record({ kind: fc.constant("user" as const), name }),
);
const cluster = fc.stringMatching(/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/);

describe("parseIdentityUri()", () => {
  it("returns what was formatted", () => {
    fc.assert(
      fc.property(cluster, identity, (cluster, identity) => {
        expect(parseIdentityUri(formatIdentityUri({ cluster, identity }))).toEqual({ cluster, identity });
      }),
    );
  });

  it("accepts no two texts for one identity", () => {
    const mutated = fc
      .tuple(cluster, identity, fc.nat(200), fc.string({ maxLength: 2 }))
      .map(([cluster, identity, at, insert]) => {
        const uri = formatIdentityUri({ cluster, identity });
        return uri.slice(0, at) + insert + uri.slice(at + 1);
      });
    fc.assert(
      fc.property(mutated, (uri) => {
        const parsed = parseIdentityUri(uri);
        if (parsed !== undefined) expect(formatIdentityUri(parsed)).toBe(uri);
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([
    "",
    "spiffe://",
    "spiffe://c/node",
    "spiffe://c/node/",
    "spiffe://c/node/a/b",
    "spiffe://c/node/..",
    "spiffe://c/node/a%2Fb",
    "spiffe://c/node/a?x",
    "spiffe://c/admin/a",
    "spiffe://C/node/a",
    "spiffe://c:1/node/a",
    "https://c/node/a",
    " spiffe://c/node/a",
    `spiffe://c/node/${"a".repeat(65)}`,
    `spiffe://${"c".repeat(64)}/node/a`,
  ])("rejects the identity URI %j", (uri) => {
    expect(parseIdentityUri(uri)).toBeUndefined();
  });
});

it("describes an identity for messages", () => {
  expect(describeIdentity({ kind: "user", name: "alice" })).toBe('user "alice"');
});
