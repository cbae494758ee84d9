import { type Authority, Authority_State } from "@berth/proto";
import {
  createKey,
  createRequest,
  type IdentityFiles,
  parseCertificate,
  readTrust,
  verifyCertificate,
} from "@berth/proto/identity";
import { beforeAll, describe, expect, it, test } from "vitest";
import { clusterIssuer } from "./certificate-issuer.js";
import { createClusterKey } from "./cluster-key.js";
import { planCertificate } from "./own-certificate.js";
import { createSealedAuthority } from "./sealed-authority.js";

const HOUR_MS = 60 * 60 * 1_000;
const NOW_MS = Date.parse("2026-01-01T00:00:00Z");
const ADDRESSES = ["127.0.0.1", "fd00::1"];
const clusterKey = createClusterKey();

let authority: Authority;
let other: Authority;
let current: Omit<IdentityFiles, "key">;

beforeAll(async () => {
  authority = await createSealedAuthority(clusterKey, "test", NOW_MS);
  other = await createSealedAuthority(clusterKey, "test", NOW_MS + 1);
  const issuer = clusterIssuer({ authorities: () => [authority], clusterKey, wallClockMs: () => NOW_MS });
  const request = await createRequest(createKey());
  current = await issuer.issue({ kind: "server", id: "s1" }, request, ADDRESSES);
});

function plan(
  over: { readonly authorities?: readonly Authority[]; readonly hosts?: readonly string[] },
  nowMs = NOW_MS,
) {
  return planCertificate(current, { authorities: [authority], hosts: ADDRESSES, ...over }, nowMs);
}

describe("planCertificate()", () => {
  it.each([
    ["that is new", {}, 0],
    ["before half of its validity", {}, 23 * HOUR_MS],
    ["a day before it was issued, when the clock was set back", {}, -24 * HOUR_MS],
    ["that has more addresses than necessary", { hosts: ["127.0.0.1"] }, 0],
  ])("keeps a certificate %s", (_, over, afterMs) => {
    expect(plan(over, NOW_MS + afterMs)).toEqual({ kind: "keep" });
  });

  it.each([
    ["after half of the validity", {}, 24 * HOUR_MS, /half of its validity/],
    ["long after its end", {}, 400 * 24 * HOUR_MS, /half of its validity/],
    ["before its start, when the clock was set back", {}, -26 * HOUR_MS, /not valid yet/],
    ["for a new address", { hosts: [...ADDRESSES, "10.0.0.1"] }, 0, /the host 10\.0\.0\.1/],
    ["for a new DNS name", { hosts: [...ADDRESSES, "berth.example.com"] }, 0, /the host berth\.example\.com/],
  ])("issues a certificate %s", (_, over, afterMs, reason) => {
    expect(plan(over, NOW_MS + afterMs)).toEqual({
      kind: "issue",
      reason: expect.stringMatching(reason),
    });
  });

  it("issues the first certificate", () => {
    const requirements = { authorities: [authority], hosts: [] };
    expect(planCertificate(undefined, requirements, NOW_MS)).toMatchObject({ kind: "issue" });
  });

  it("issues a certificate when another authority is to be trusted or issues certificates", () => {
    const announced = { ...other, state: Authority_State.ANNOUNCED };
    const retiring = { ...authority, state: Authority_State.RETIRING };
    expect(plan({ authorities: [authority, announced] })).toMatchObject({ reason: /trusted/ });
    expect(plan({ authorities: [retiring, other] })).toMatchObject({ reason: /another authority/ });
  });
});

test.each([
  ["ahead", 24 * HOUR_MS],
  ["behind", -24 * HOUR_MS],
])("a new certificate is valid for a host whose clock is a day %s", (_, byMs) => {
  const trust = readTrust(current.authorities);
  expect(
    verifyCertificate(parseCertificate(current.certificate), trust, { nowMs: NOW_MS + byMs }),
  ).toMatchObject({
    identity: { kind: "server", id: "s1" },
  });
});
