import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { crossSign } from "../identity/authority.js";
import { fingerprintOf, parseCertificate } from "../identity/certificate.js";
import { fetchAuthority } from "../identity/fetch-authority.js";
import type { Identity } from "../identity/identity.js";
import { HOUR_MS, TestAuthority } from "../identity/testing/test-authority.js";
import { RotatingIdentity } from "./rpc-identity.js";
import { FOLLOW, openStream, outcomeOf, TlsCluster } from "./testing/tls-cluster.js";

const ADMIN: Identity = { kind: "user", name: "admin" };
const SERVER: Identity = { kind: "server", id: "s1" };
const { signal } = new AbortController();

let cluster: TlsCluster;

beforeEach(async () => {
  cluster = await TlsCluster.start();
});

afterEach(() => cluster.close());

const fingerprint = (pem: string): string => fingerprintOf(parseCertificate(pem));

function cross(issuer: TestAuthority, authority: TestAuthority): Promise<string> {
  const validity = { nowMs: Date.now(), backdateMs: HOUR_MS, durationMs: HOUR_MS };
  return crossSign(issuer.authority, authority.certificate, validity);
}

/** Replaces the authority twice. Returns the three authorities, the oldest first. */
async function rotateTwice(): Promise<readonly TestAuthority[]> {
  const [first, second, third] = [cluster.ca, await TestAuthority.create(), await TestAuthority.create()];
  const leaf = await third.issue(SERVER);
  const crosses = [await cross(second, third), await cross(first, second)];
  cluster.identity.update({
    authorities: [first, second, third].map(({ certificate }) => certificate).join("\n"),
    leaf: { ...leaf, certificate: [leaf.certificate, ...crosses].join("\n") },
  });
  return [first, second, third];
}

it("a client that trusts any one of the authorities accepts a server with a certificate of the last one", async () => {
  const authorities = await rotateTwice();
  for (const ca of authorities) {
    const identity = new RotatingIdentity({ authorities: ca.certificate, leaf: await ca.issue(ADMIN) });
    const client = cluster.connect(identity);
    expect(await outcomeOf(client.control.getNode({ node: "n" }))).toBe("ok");
  }
  const other = await TestAuthority.create();
  const stranger = new RotatingIdentity({ authorities: other.certificate, leaf: await other.issue(ADMIN) });
  expect(await outcomeOf(cluster.connect(stranger).control.getNode({ node: "n" }))).not.toBe("ok");
});

it("a joining host gets each authority that the server trusts, by its fingerprint", async () => {
  const { address } = cluster;
  for (const { certificate } of await rotateTwice()) {
    const found = await fetchAuthority({ address, fingerprint: fingerprint(certificate) }, signal);
    expect(found.fingerprint).toBe(fingerprint(certificate));
  }
  const unknown = fetchAuthority({ address, fingerprint: "0".repeat(64) }, signal);
  await expect(unknown).rejects.toMatchObject({ code: "BERTH_AUTHORITY_MISMATCH" });
});

it("a stream of a client that trusts the old authority only stays open while the server changes over", async () => {
  const { control } = await cluster.connectAs(ADMIN);
  const before = await openStream((options) => control.streamLogs(FOLLOW, options));
  await rotateTwice();
  const after = await openStream((options) => control.streamLogs(FOLLOW, options));
  expect(await Promise.race([before.ended, after.ended, delay(300, "open")])).toBe("open");
  await before.close();
  await after.close();
});
