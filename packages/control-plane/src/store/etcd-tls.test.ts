import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKey, IdentityDirectory } from "@berth/proto/identity";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EtcdAuthority } from "../testing/etcd-authority.js";
import { type EtcdTls, type EtcdTlsFiles, readEtcdTls, requireAddress } from "./etcd-tls.js";

const HOUR_MS = 60 * 60 * 1_000;

let directory: IdentityDirectory;
let files: EtcdTlsFiles;
let issued: EtcdTls;

beforeEach(async () => {
  directory = await IdentityDirectory.open(mkdtempSync(join(tmpdir(), "berth-etcd-tls-")));
  files = directory.paths;
  issued = await (await EtcdAuthority.create()).issueTo(directory, {
    id: "s1",
    addresses: ["10.0.0.1", "::1"],
  });
});
afterEach(() => rmSync(directory.path, { recursive: true }));

function write(name: string, text: string): string {
  const path = join(directory.path, name);
  writeFileSync(path, text);
  return path;
}

describe("readEtcdTls", () => {
  it("returns the texts of valid files", async () => {
    expect(await readEtcdTls(files, Date.now())).toEqual(issued);
  });

  it("accepts a certificate without a SPIFFE name and of another CA", async () => {
    const certificateFile = write("external.pem", EXTERNAL_CERTIFICATE);
    const keyFile = write("external-key.pem", EXTERNAL_KEY);
    const nowMs = Date.parse("2030-01-01");
    const tls = await readEtcdTls({ ...files, certificateFile, keyFile }, nowMs);
    expect(tls.certificate).toBe(EXTERNAL_CERTIFICATE);
  });

  it("reports all problems of the etcd certificate at once", async () => {
    const reading = readEtcdTls(
      {
        authoritiesFile: write("ca.pem", "no CA"),
        certificateFile: "/nonexistent/cert.pem",
        keyFile: write("key.pem", "no key"),
      },
      Date.now(),
    );
    await expect(reading).rejects.toMatchObject({
      code: "BERTH_IDENTITY_INVALID",
      message: expect.stringMatching(
        /cannot read \/nonexistent\/cert\.pem: ENOENT.*check its path.*ca\.pem has no CA certificate.*key\.pem has no private key/s,
      ),
    });
  });

  it.each<[string, () => Partial<EtcdTlsFiles>, RegExp]>([
    [
      "a key of another certificate",
      () => ({ keyFile: write("other.pem", createKey()) }),
      /the key in \S+other\.pem does not belong to the certificate in \S+certificate\.pem/,
    ],
    [
      "an encrypted key",
      () => ({ keyFile: write("encrypted.pem", encryptedKey()) }),
      /encrypted\.pem is encrypted; store it without a passphrase/,
    ],
    [
      "a bundle whose second certificate is damaged",
      () => ({ authoritiesFile: write("bundle.pem", `${issued.authorities}${damaged(issued.certificate)}`) }),
      /certificate 2 in \S+bundle\.pem is not a certificate in PEM/,
    ],
    ["a directory", () => ({ keyFile: makeDirectory("directory") }), /directory: it is not a file/],
    ["a huge file", () => ({ keyFile: makeHugeFile("huge") }), /huge: it has \d+ bytes, more than/],
    [
      "a certificate for servers only",
      () => ({
        certificateFile: write("server.pem", SERVER_CERTIFICATE),
        keyFile: write("server-key.pem", EXTERNAL_KEY),
      }),
      /server\.pem is not a client certificate; issue one with the extended key usage clientAuth/,
    ],
  ])("refuses %s for etcd", async (_, change, message) => {
    await expect(readEtcdTls({ ...files, ...change() }, Date.now())).rejects.toThrow(message);
  });

  it("refuses a certificate that has expired or is not valid yet, and names both times", async () => {
    const nowMs = Date.now();
    await expect(readEtcdTls(files, nowMs + 2 * HOUR_MS)).rejects.toThrow(
      /certificate\.pem expired at \S+Z, and it is \S+Z; renew it/,
    );
    await expect(readEtcdTls(files, nowMs - 2 * HOUR_MS)).rejects.toThrow(
      /certificate\.pem is not valid before \S+Z, and it is \S+Z; correct this host's clock/,
    );
  });
});

describe("requireAddress", () => {
  it.each(["10.0.0.1", "::1"])("accepts the address %s that the certificate has", (address) => {
    expect(() => requireAddress(files, issued, address)).not.toThrow();
  });

  it("refuses another address and lists those that the certificate has", () => {
    expect(() => requireAddress(files, issued, "10.0.0.2")).toThrow(
      /does not have the address 10\.0\.0\.2 of this server's etcd \(.*IP Address:10\.0\.0\.1/,
    );
  });
});

function encryptedKey(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return privateKey
    .export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" })
    .toString();
}

function damaged(pem: string): string {
  return pem.replace(/\n[A-Za-z0-9+/]{10}/, "\nAAAAAAAAAA");
}

function makeDirectory(name: string): string {
  const path = join(directory.path, name);
  mkdirSync(path);
  return path;
}

/** Creates a sparse file of 2 MiB. */
function makeHugeFile(name: string): string {
  const path = write(name, "");
  truncateSync(path, 2 * 1024 * 1024);
  return path;
}

// Created with openssl, as for an external etcd: valid for 100 years, with the name client.example.

const EXTERNAL_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg6ZdNcQEhc2Ct8kJv
wy3r/0rleBXWnVfvItXDDQsNDVehRANCAAR5dhdjYHQ15nCTtIXfchTyf2ZUee78
KKr024r6bdkk7+Q/kTdMp0+eo8zqLCsYlxbSbMT1T2beK08uhIRY7kr5
-----END PRIVATE KEY-----
`;

const EXTERNAL_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBsTCCAVegAwIBAgIUF63fDu6XEjVpPZrzi52VYtFGW5kwCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLZXRjZCBjbGllbnQwIBcNMjYxMTMwMTA0NDM2WhgPMjEyNjEx
MDYxMDQ0MzZaMBYxFDASBgNVBAMMC2V0Y2QgY2xpZW50MFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEeXYXY2B0NeZwk7SF33IU8n9mVHnu/Ciq9NuK+m3ZJO/kP5E3
TKdPnqPM6iwrGJcW0mzE9U9m3itPLoSEWO5K+aOBgDB+MB0GA1UdDgQWBBSpJil7
GBflzdDlfvVMlXMf5I0SjjAfBgNVHSMEGDAWgBSpJil7GBflzdDlfvVMlXMf5I0S
jjAMBgNVHRMBAf8EAjAAMBkGA1UdEQQSMBCCDmNsaWVudC5leGFtcGxlMBMGA1Ud
JQQMMAoGCCsGAQUFBwMCMAoGCCqGSM49BAMCA0gAMEUCIQDVLlcgdnztHXIxpb45
3be3gpSB7xszyMuJ0KIaRaKcWAIgcvQkU24Jge1Oda+tNPmLEPJsLnfjUj/qFzZi
b+nCYv0=
-----END CERTIFICATE-----
`;

/** A certificate for the same key with the extended key usage serverAuth. */
const SERVER_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBlTCCATugAwIBAgIUaWcmgpOmwXQ/zUtNFuDFhHvcxWUwCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLZXRjZCBzZXJ2ZXIwIBcNMjYxMTMwMTA0NDM2WhgPMjEyNjEx
MDYxMDQ0MzZaMBYxFDASBgNVBAMMC2V0Y2Qgc2VydmVyMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEeXYXY2B0NeZwk7SF33IU8n9mVHnu/Ciq9NuK+m3ZJO/kP5E3
TKdPnqPM6iwrGJcW0mzE9U9m3itPLoSEWO5K+aNlMGMwHQYDVR0OBBYEFKkmKXsY
F+XN0OV+9UyVcx/kjRKOMB8GA1UdIwQYMBaAFKkmKXsYF+XN0OV+9UyVcx/kjRKO
MAwGA1UdEwEB/wQCMAAwEwYDVR0lBAwwCgYIKwYBBQUHAwEwCgYIKoZIzj0EAwID
SAAwRQIhAJytx2ywcffSHmgO/Zj4XapndhJGS1IRkxojmH/xdUZrAiBs4Etq1OFS
4+3RbhOAJYoWf0xuLlY9UVVG6MFF2Kh/oQ==
-----END CERTIFICATE-----
`;
