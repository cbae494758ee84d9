import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RENEWAL_GRACE_MS, readAuthority } from "@berth/proto/identity";
import type { RpcTransport } from "@berth/proto/rpc";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { certificateMetrics } from "./certificate-metrics.js";
import { CertificateRenewal, renewalAdvice, renewIfUntrusted } from "./certificate-renewal.js";
import { currentFacts, type HostIdentity, openHostIdentity } from "./host-identity.js";
import { HOUR_MS, TestCluster, type TestValidity } from "./testing/joined-host.js";

const NODE = { kind: "node", id: "n1" } as const;
const EXPIRED: TestValidity = { fromMs: -2 * HOUR_MS, untilMs: -HOUR_MS };

let cluster: TestCluster;
let directory: string;

beforeAll(async () => {
  cluster = await TestCluster.create();
  directory = await mkdtemp(join(tmpdir(), "berth-renewal-"));
}, 60_000);

afterAll(() => rm(directory, { recursive: true, force: true }));

async function identityOf(name: string, validity: TestValidity = {}): Promise<HostIdentity> {
  await cluster.join(join(directory, name), NODE, validity);
  const identity = await openHostIdentity(join(directory, name));
  if (identity === undefined) throw new Error("no identity");
  return identity;
}

type Renew = (request: { certificateRequest: string }) => ReturnType<TestCluster["certify"]>;

/** A transport whose servers renew certificates with these functions, by address. */
function transportWith(servers: Readonly<Record<string, Renew>>): RpcTransport {
  const connect = (_: unknown, { address }: { address: string }) => ({
    calls: { renewCertificate: servers[address] },
    close: () => {},
  });
  return { connect } as unknown as RpcTransport;
}

function renewalOf(identity: HostIdentity, servers: Readonly<Record<string, Renew>>) {
  const warnings: string[] = [];
  const log = pino({ level: "warn" }, { write: (line: string) => void warnings.push(line) });
  const transport = transportWith(servers);
  const renewal = new CertificateRenewal({ identity, transport, servers: () => Object.keys(servers), log });
  return { renewal, warnings };
}

describe("CertificateRenewal", () => {
  const issue: Renew = ({ certificateRequest }) => cluster.certify(certificateRequest, NODE);
  const fail: Renew = () => Promise.reject(new Error("no leader"));

  it("renews an expired certificate with the first server that answers, before the session may start", async () => {
    const identity = await identityOf("expired", EXPIRED);
    const { renewal } = renewalOf(identity, { "a:1": fail, "b:1": issue });
    const stopping = new AbortController();
    const running = renewal.run(stopping.signal);
    await renewal.waitUntilUnexpired(stopping.signal);
    expect(currentFacts(identity).notAfterMs).toBeGreaterThan(Date.now());
    expect((await openHostIdentity(join(directory, "expired")))?.rpc.current).toEqual(identity.rpc.current);
    stopping.abort();
    await running;
  });

  it("lets the session start at once while the certificate is valid", async () => {
    const { renewal } = renewalOf(await identityOf("valid"), {});
    await renewal.waitUntilUnexpired(new AbortController().signal);
  });

  it("stores no certificate of another node or another cluster", async () => {
    const other = await TestCluster.create("other");
    const wrong: Renew[] = [
      ({ certificateRequest }) => cluster.certify(certificateRequest, { kind: "node", id: "n2" }),
      ({ certificateRequest }) => other.certify(certificateRequest, NODE),
    ];
    for (const [index, renew] of wrong.entries()) {
      const identity = await identityOf(`wrong-${index}`, EXPIRED);
      const before = identity.rpc.current;
      const { renewal, warnings } = renewalOf(identity, { "a:1": renew });
      const stopping = new AbortController();
      const running = renewal.run(stopping.signal);
      await vi.waitFor(() => expect(warnings.join()).toContain("BERTH_PROTOCOL"));
      stopping.abort();
      await running;
      expect((await openHostIdentity(join(directory, `wrong-${index}`)))?.rpc.current).toEqual(before);
    }
  });
});

describe("renewIfUntrusted()", () => {
  const at = { nowMs: 1_000, random: 0.5 };
  const own = (): string => readAuthority(cluster.authority.certificate).fingerprint;

  it("demands a renewal within the time that the leader allows when another authority issues certificates", async () => {
    const identity = await identityOf("rotated");
    renewIfUntrusted(
      identity,
      { issuing: "0".repeat(64), trusted: [own(), "0".repeat(64)], spreadMs: 60_000 },
      at,
    );
    expect(identity.demand.dueMs).toBe(31_000);
    renewIfUntrusted(identity, { issuing: "1".repeat(64), trusted: [own()], spreadMs: 1e15 }, at);
    expect(identity.demand.dueMs).toBe(31_000);
  });

  it("demands a renewal when this host trusts an authority that was removed", async () => {
    const identity = await identityOf("removed");
    renewIfUntrusted(identity, { issuing: own(), trusted: [], spreadMs: 0 }, at);
    expect(identity.demand.dueMs).toBe(1_000);
  });

  it("demands nothing when the certificate is from the issuing authority", async () => {
    const identity = await identityOf("current");
    renewIfUntrusted(identity, { issuing: own(), trusted: [own(), "0".repeat(64)], spreadMs: 0 }, at);
    expect(identity.demand.dueMs).toBeUndefined();
  });
});

describe("openHostIdentity()", () => {
  it("returns undefined on a host that has not joined, and rejects a certificate that is not a node's", async () => {
    expect(await openHostIdentity(join(directory, "nowhere"))).toBeUndefined();
    await cluster.join(join(directory, "user"), { kind: "user", name: "vera" });
    await expect(openHostIdentity(join(directory, "user"))).rejects.toMatchObject({
      code: "BERTH_IDENTITY_INVALID",
      message: expect.stringContaining('for user "vera", not for a node'),
    });
  });
});

it("renewalAdvice says whether the certificate is valid, can be renewed, or requires another join", async () => {
  const facts = currentFacts(await identityOf("advice"));
  const end = facts.notAfterMs;
  expect(renewalAdvice(facts, end)).toContain("still valid");
  expect(renewalAdvice(facts, end + 1)).toMatch(/can be used for its renewal until .*this host's clock says/);
  expect(renewalAdvice(facts, end + RENEWAL_GRACE_MS + 1)).toContain("berth agent join");
});

it("certificateMetrics returns when the certificate expires", async () => {
  const identity = await identityOf("metrics");
  const seconds = currentFacts(identity).notAfterMs / 1_000;
  expect(await certificateMetrics(identity)).toContain(
    `\nberth_agent_certificate_expiry_timestamp_seconds ${seconds}\n`,
  );
});
