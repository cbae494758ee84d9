import { execFileSync } from "node:child_process";
import { generateKeyPairSync, type X509Certificate } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import { createRequest, issueCertificate } from "./authority.js";
import {
  certificateFacts,
  parseCertificate,
  readAuthority,
  readTrust,
  requireValidAt,
  verifyCertificate,
} from "./certificate.js";
import { createKey } from "./private-key.js";
import { HOUR_MS, TestAuthority } from "./testing/test-authority.js";

const NOW = Date.parse("2030-01-02T03:04:05Z");
const VALIDITY = { nowMs: NOW, backdateMs: HOUR_MS, durationMs: 24 * HOUR_MS };
const NODE = { kind: "node", id: "n1" } as const;

let ca: TestAuthority;

beforeAll(async () => {
  ca = await TestAuthority.create();
});

async function issueNode(options: { readonly hosts?: readonly string[] } = {}): Promise<X509Certificate> {
  const request = await createRequest(createKey());
  const pem = await issueCertificate(ca.authority, {
    request,
    identity: NODE,
    validity: VALIDITY,
    ...options,
  });
  return parseCertificate(pem);
}

describe("issueCertificate()", () => {
  it("issues the identity that the authority's caller gives, with a back-dated validity", async () => {
    const facts = certificateFacts(await issueNode());
    expect(facts).toMatchObject({
      cluster: "test",
      identity: NODE,
      notBeforeMs: NOW - HOUR_MS,
      notAfterMs: NOW + 24 * HOUR_MS,
      serial: expect.stringMatching(/^[4-7][0-9A-F]{31}$/),
    });
  });

  it("limits a certificate to TLS, and marks it as not a CA", async () => {
    const certificate = await issueNode({ hosts: ["10.0.0.1", "fd00::1", "berth.example.com"] });
    const text = openssl(certificate.toString());
    expect(text).toMatch(/Basic Constraints: critical\s+CA:FALSE/);
    expect(text).toMatch(/X509v3 Key Usage: critical\s+Digital Signature\n/);
    expect(text).toMatch(
      /Extended Key Usage:\s*TLS Web Server Authentication, TLS Web Client Authentication\n/,
    );
    expect(text).toMatch(
      /URI:spiffe:\/\/test\/node\/n1, IP Address:10.0.0.1, IP Address:FD00:0:0:0:0:0:0:1, DNS:berth.example.com\n/,
    );
    expect(openssl(ca.certificate)).toMatch(/CA:TRUE[\s\S]+Certificate Sign, CRL Sign\n/);
  });

  it("rejects a request that is not signed with the key that it names", async () => {
    const der = Buffer.from((await createRequest(createKey())).replace(/-----.*-----/g, ""), "base64");
    const lastByte = der.length - 1;
    der[lastByte] = (der[lastByte] ?? 0) ^ 1;
    const request = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
    await expect(
      issueCertificate(ca.authority, { request, identity: NODE, validity: VALIDITY }),
    ).rejects.toMatchObject({ code: "BERTH_INPUT_INVALID", message: expect.stringContaining("not signed") });
  });

  it.each([
    ["text", "hello"],
    ["an empty text", ""],
    ["a long text", "x".repeat(100_000)],
  ])("rejects %s as a request", async (_, request) => {
    await expect(
      issueCertificate(ca.authority, { request, identity: NODE, validity: VALIDITY }),
    ).rejects.toMatchObject({ code: "BERTH_INPUT_INVALID" });
  });

  it("rejects a key of another curve", async () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
    const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    await expect(createRequest(key)).rejects.toThrow();
  });

  it("rejects an identity that a certificate cannot name", async () => {
    const request = await createRequest(createKey());
    const identity = { kind: "node", id: "a/b" } as const;
    await expect(issueCertificate(ca.authority, { request, identity, validity: VALIDITY })).rejects.toThrow(
      /invalid name/,
    );
  });
});

describe("verifyCertificate()", () => {
  it("accepts a certificate of any authority in the bundle", async () => {
    const next = await TestAuthority.create();
    const trust = readTrust(ca.certificate + next.certificate);
    for (const each of [ca, next]) {
      const { certificate } = await each.issue(NODE);
      expect(verifyCertificate(parseCertificate(certificate), trust, { nowMs: Date.now() }).identity).toEqual(
        NODE,
      );
    }
  });

  it("names the owner, both times and the clock of a certificate that is not valid now", async () => {
    const certificate = await issueNode();
    const trust = readTrust(ca.certificate);
    const verify = (nowMs: number) => () => verifyCertificate(certificate, trust, { nowMs });
    expect(verify(NOW - HOUR_MS - 1)).toThrow(
      'certificate of node "n1" is not valid before 2030-01-02T02:04:05Z: this host\'s clock says 2030-01-02T02:04:04.999Z',
    );
    expect(verify(NOW + 24 * HOUR_MS + 1)).toThrow(
      'certificate of node "n1" expired at 2030-01-03T03:04:05Z',
    );
    expect(verify(NOW)).not.toThrow();
    expect(() =>
      requireValidAt(certificateFacts(certificate), { nowMs: 0, clock: "the server's clock" }),
    ).toThrow("the server's clock says 1970-01-01T00:00:00Z");
  });

  it("rejects a certificate of another authority of the same cluster, of another cluster, and a CA itself", async () => {
    const trust = readTrust(ca.certificate);
    const reasonFor = (pem: string): unknown => {
      try {
        return verifyCertificate(parseCertificate(pem), trust, { nowMs: Date.now() });
      } catch (error) {
        return (error as { details?: unknown }).details;
      }
    };
    const impostor = await (await TestAuthority.create()).issue(NODE);
    const stranger = await (await TestAuthority.create("other")).issue(NODE);
    expect(reasonFor(impostor.certificate)).toEqual({ reason: "unknown-authority" });
    expect(reasonFor(stranger.certificate)).toEqual({ reason: "other-cluster" });
    expect(reasonFor(ca.certificate)).toEqual({ reason: "no-identity" });
  });
});

describe("readTrust()", () => {
  it("rejects an empty bundle, certificates that are not CAs, mixed clusters and too many certificates", async () => {
    const { certificate } = await ca.issue(NODE);
    const other = await TestAuthority.create("other");
    for (const bundle of [
      "",
      "x",
      certificate,
      ca.certificate + other.certificate,
      ca.certificate.repeat(17),
    ]) {
      expect(() => readTrust(bundle)).toThrow(expect.objectContaining({ code: "BERTH_CERTIFICATE_INVALID" }));
    }
    expect(readAuthority(ca.certificate)).toMatchObject({ cluster: "test" });
  });
});

function openssl(pem: string): string {
  return execFileSync("openssl", ["x509", "-noout", "-text"], { input: pem, encoding: "utf8" });
}
