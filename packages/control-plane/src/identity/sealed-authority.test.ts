import { type Authority, Authority_State as State } from "@berth/proto";
import { createKey, createRequest, parseChain } from "@berth/proto/identity";
import { beforeAll, describe, expect, it } from "vitest";
import { clusterIssuer } from "./certificate-issuer.js";
import { createClusterKey } from "./cluster-key.js";
import { createSealedAuthority, createSuccessor, crossChain, openAuthority } from "./sealed-authority.js";

const NOW_MS = Date.parse("2026-01-01T00:00:00Z");
const clusterKey = createClusterKey();

/** Three authorities, each of which has signed the key of the next one. The last one issues certificates. */
let first: Authority;
let second: Authority;
let third: Authority;

beforeAll(async () => {
  const created = await createSealedAuthority(clusterKey, "test", NOW_MS);
  first = { ...created, state: State.RETIRING };
  second = { ...(await createSuccessor(clusterKey, created, NOW_MS + 1)), state: State.RETIRING };
  third = { ...(await createSuccessor(clusterKey, second, NOW_MS + 2)), state: State.ISSUING };
});

describe("createSuccessor()", () => {
  it("creates an announced authority of the same cluster, with a key and a name of its own", async () => {
    const successor = await createSuccessor(clusterKey, first, NOW_MS);
    expect(successor.state).toBe(State.ANNOUNCED);
    expect(openAuthority(clusterKey, successor).key).not.toBe(openAuthority(clusterKey, first).key);
    const [own, cross, issuer] = [successor.certificate, successor.crossCertificate, first.certificate].map(
      (pem) => parseChain(pem)[0],
    );
    expect(cross?.subject).toBe(own?.subject);
    expect(own !== undefined && cross?.publicKey.equals(own.publicKey)).toBe(true);
    expect(issuer !== undefined && cross?.verify(issuer.publicKey)).toBe(true);
  });
});

describe("crossChain()", () => {
  it("leads from the issuing authority to the oldest one that is trusted", () => {
    expect(crossChain([first, second, third])).toEqual([third.crossCertificate, second.crossCertificate]);
    expect(crossChain([second, third])).toEqual([third.crossCertificate]);
    expect(crossChain([third])).toEqual([]);
    // The authority in between is not trusted any more, so nothing leads to the first one.
    expect(crossChain([first, third])).toEqual([]);
  });
});

describe("clusterIssuer()", () => {
  it("adds the chain to certificates of servers only, and names the issuer", async () => {
    const authorities = [first, second, third];
    const issuer = clusterIssuer({ authorities: () => authorities, clusterKey, wallClockMs: () => NOW_MS });
    const request = await createRequest(createKey());
    const server = await issuer.issue({ kind: "server", id: "s1" }, request);
    const node = await issuer.issue({ kind: "node", id: "n1" }, request);
    expect([server, node].map(({ certificate }) => parseChain(certificate).length)).toEqual([3, 1]);
    expect(server.issuer).toBe(third.fingerprint);
  });
});
