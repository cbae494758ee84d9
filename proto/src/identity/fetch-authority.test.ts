import { createPublicKey } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { fingerprintOf, parseCertificate } from "./certificate.js";
import { fetchAuthority } from "./fetch-authority.js";
import { createKey } from "./private-key.js";
import { HOUR_MS, type IssuedIdentity, TestAuthority } from "./testing/test-authority.js";
import { createLeafCertificate } from "./x509.js";

const SERVER = { kind: "server", id: "s1" } as const;
const { signal } = new AbortController();

let ca: TestAuthority;
let server: Server | undefined;

beforeAll(async () => {
  ca = await TestAuthority.create();
});

afterEach(() => {
  server?.close();
});

async function listen(created: Server): Promise<string> {
  server = created;
  created.listen(0, "127.0.0.1");
  await once(created, "listening");
  return `127.0.0.1:${(created.address() as AddressInfo).port}`;
}

/** Starts a TLS server with this chain, which records what it receives. */
async function serve({ certificate, key }: IssuedIdentity, ...chain: string[]) {
  let bytes = 0;
  let close: () => void = () => {};
  const closed = new Promise<void>((resolve) => {
    close = resolve;
  });
  const created = createTlsServer(
    { cert: [certificate, ...chain].join("\n"), key, ALPNProtocols: ["h2"] },
    (socket) => {
      socket.on("data", (data) => {
        bytes += data.length;
      });
      socket.on("error", () => {});
      socket.on("close", () => close());
    },
  );
  // The client may disconnect before the server has completed the handshake.
  created.on("tlsClientError", close);
  return { address: await listen(created), closed, receivedBytes: () => bytes };
}

const fingerprint = (pem: string): string => fingerprintOf(parseCertificate(pem));

describe("join-pin: fetchAuthority()", () => {
  it("returns the CA certificate with the fingerprint", async () => {
    const { address } = await serve(await ca.issue(SERVER), ca.certificate);
    const authority = await fetchAuthority({ address, fingerprint: fingerprint(ca.certificate) }, signal);
    expect(authority).toMatchObject({ cluster: "test", fingerprint: fingerprint(ca.certificate) });
    expect(authority.x509.toString()).toBe(parseCertificate(ca.certificate).toString());
  });

  it("sends no byte to a server with another CA, and says what that server presented", async () => {
    const impostor = await TestAuthority.create();
    const { address, closed, receivedBytes } = await serve(
      await impostor.issue(SERVER),
      impostor.certificate,
    );
    await expect(
      fetchAuthority({ address, fingerprint: fingerprint(ca.certificate) }, signal),
    ).rejects.toMatchObject({
      code: "BERTH_AUTHORITY_MISMATCH",
      message: expect.stringContaining(fingerprint(impostor.certificate)),
    });
    await closed;
    expect(receivedBytes()).toBe(0);
  });

  it("rejects a server that repeats the CA certificate without a certificate of that CA", async () => {
    const impostor = await TestAuthority.create();
    const { address, closed, receivedBytes } = await serve(await impostor.issue(SERVER), ca.certificate);
    await expect(
      fetchAuthority({ address, fingerprint: fingerprint(ca.certificate) }, signal),
    ).rejects.toMatchObject({
      code: "BERTH_AUTHORITY_MISMATCH",
    });
    await closed;
    expect(receivedBytes()).toBe(0);
  });

  it("rejects a server whose certificate was signed with the key of a node", async () => {
    const node = await ca.issue({ kind: "node", id: "n1" });
    const key = createKey();
    const forged = await createLeafCertificate({
      serial: "0123456789abcdef",
      notBefore: new Date(Date.now() - HOUR_MS),
      notAfter: new Date(Date.now() + HOUR_MS),
      ...{ commonName: "berth server", uri: "spiffe://test/server/s1", hosts: [] },
      issuerCertificatePem: node.certificate,
      issuerKeyPem: node.key,
      issuerSubject: "CN=berth node",
      publicKeyPem: createPublicKey(key).export({ type: "spki", format: "pem" }).toString(),
    });
    expect(parseCertificate(forged).verify(parseCertificate(node.certificate).publicKey)).toBe(true);
    const { address } = await serve({ certificate: forged, key }, node.certificate, ca.certificate);
    await expect(
      fetchAuthority({ address, fingerprint: fingerprint(ca.certificate) }, signal),
    ).rejects.toMatchObject({ code: "BERTH_AUTHORITY_MISMATCH" });
  });

  it("rejects a node that pretends to be a server", async () => {
    const { address } = await serve(await ca.issue({ kind: "node", id: "n1" }), ca.certificate);
    await expect(
      fetchAuthority({ address, fingerprint: fingerprint(ca.certificate) }, signal),
    ).rejects.toMatchObject({
      code: "BERTH_CERTIFICATE_INVALID",
      message: expect.stringContaining('node "n1" is not a server certificate'),
    });
  });

  it("rejects a server that does not send its CA certificate", async () => {
    const { address } = await serve(await ca.issue(SERVER));
    await expect(
      fetchAuthority({ address, fingerprint: fingerprint(ca.certificate) }, signal),
    ).rejects.toMatchObject({
      code: "BERTH_AUTHORITY_MISMATCH",
    });
  });

  it("reports a port without a server, without TLS, and a server that does not answer", async () => {
    const fetchFrom = (address: string) =>
      fetchAuthority({ address, fingerprint: "", timeoutMs: 200 }, signal);
    await expect(fetchFrom("127.0.0.1:1")).rejects.toMatchObject({ code: "BERTH_SERVER_UNREACHABLE" });
    await expect(fetchFrom("nonsense")).rejects.toMatchObject({ code: "BERTH_INPUT_INVALID" });
    const silent = await listen(createServer((socket) => socket.on("error", () => {})));
    await expect(fetchFrom(silent)).rejects.toMatchObject({ code: "BERTH_DEADLINE" });
    server?.close();
    const plain = await listen(createServer((socket) => socket.on("error", () => {}).end("hello")));
    await expect(fetchFrom(plain)).rejects.toMatchObject({ code: "BERTH_SERVER_UNREACHABLE" });
  });

  it("ends with the reason of its signal", async () => {
    const address = await listen(createServer());
    const controller = new AbortController();
    const fetched = fetchAuthority({ address, fingerprint: "" }, controller.signal);
    controller.abort(new Error("enough"));
    await expect(fetched).rejects.toThrow("enough");
  });
});
