import { existsSync } from "node:fs";
import { cp, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Authority, Authority_State } from "@berth/proto";
import { certificateFacts, parseCertificate, readAuthority, verifyCertificate } from "@berth/proto/identity";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemRuntime } from "../runtime/runtime.js";
import { openEtcdCertificate } from "./etcd-certificate.js";
import { createSealedAuthority, issuingAuthority } from "./sealed-authority.js";
import { ServerDirectory } from "./server-directory.js";
import { openServerIdentity, type ServerIdentity } from "./server-identity.js";

const DAY_MS = 24 * 60 * 60 * 1_000;
const NOW_MS = Date.parse("2026-01-01T00:00:00Z");
const signal = new AbortController().signal;

let dataDir: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "berth-server-identity-"));
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

const open = (directory = dataDir): Promise<ServerIdentity> =>
  openServerIdentity({ dataDir: directory, nowMs: NOW_MS, newId: systemRuntime.newId });

const file = (name: string): string => join(dataDir, "identity", name);

function etcdCertificate(identity: ServerIdentity, hosts: readonly string[], nowMs: number) {
  return openEtcdCertificate({ identity, hosts, wallClockMs: () => nowMs }, signal);
}

describe("the identity of a server", () => {
  it("the identity of a server is the same at each start, and only their owner can read its files", async () => {
    const created = await open();
    const { serverId, clusterKey, etcdAuthorities, firstAuthority } = await open();
    expect({ serverId, key: clusterKey.versions, etcdAuthorities, firstAuthority }).toEqual({
      serverId: created.serverId,
      key: created.clusterKey.versions,
      etcdAuthorities: created.etcdAuthorities,
      firstAuthority: created.firstAuthority,
    });
    for (const name of ["cluster.key", "authority.json", "etcd-authority.json", "key.pem"]) {
      expect((await stat(file(name))).mode & 0o777).toBe(0o600);
    }
  });

  it("has an authority for etcd of the same cluster that is not the authority for members", async () => {
    const { firstAuthority, etcdAuthorities, rpc } = await open();
    const etcdAuthority = issuingAuthority(etcdAuthorities);
    const etcd = readAuthority(etcdAuthority.certificate);
    expect(etcd.cluster).toBe(readAuthority(firstAuthority?.certificate ?? "").cluster);
    expect(etcd.fingerprint).not.toBe(firstAuthority?.fingerprint);
    expect(rpc.current.authorities).not.toContain(etcdAuthority.certificate.trim());
  });

  it("has several authorities for etcd during a rotation, of which earlier releases read the issuing one", async () => {
    const { heldKey, clusterKey, etcdAuthorities } = await open();
    const [earlier] = etcdAuthorities;
    if (earlier === undefined) throw new Error("there is no authority");
    const next = await createSealedAuthority(clusterKey, "berth-x", NOW_MS);
    await heldKey.storeEtcdAuthorities([{ ...earlier, state: Authority_State.RETIRING }, next]);
    const stored = (await open()).etcdAuthorities.map(({ fingerprint, state }) => ({ fingerprint, state }));
    expect(stored).toEqual([
      { fingerprint: next.fingerprint, state: Authority_State.ISSUING },
      { fingerprint: earlier.fingerprint, state: Authority_State.RETIRING },
    ]);
    const json: unknown = JSON.parse(await readFile(file("etcd-authority.json"), "utf8"));
    expect(Authority.fromJSON(json).fingerprint).toBe(next.fingerprint);
  });

  it("the identity of a server is created with the existing files after a crash during its creation", async () => {
    const { clusterKey } = await open();
    // The creation writes in this order, so a crash leaves a prefix of the list.
    const written = ["cluster.key", "authority.json", "etcd-authority.json", "key.pem", "certificate.pem"];
    for (const [index] of written.entries()) {
      const copy = `${dataDir}-${index}`;
      await cp(dataDir, copy, { recursive: true });
      for (const name of written.slice(index + 1)) await rm(join(copy, "identity", name));
      await writeFile(join(copy, "identity", "cluster.key.new"), "cut of");
      expect((await open(copy)).clusterKey.versions).toEqual(clusterKey.versions);
      await rm(copy, { recursive: true });
    }
  });

  it.each(["cluster.key", "authority.json", "etcd-authority.json", "certificate.pem", "key.pem"])(
    "is not replaced when %s is damaged",
    async (name) => {
      await open();
      await truncate(file(name), 20);
      const before = await readdir(file(""));
      await expect(open()).rejects.toMatchObject({ code: "BERTH_IDENTITY_INVALID" });
      expect(await readdir(file(""))).toEqual(before);
    },
  );

  it.each(["cluster.key", "etcd-authority.json"])("is not created again when %s is missing", async (name) => {
    await open();
    await rm(file(name));
    await expect(open()).rejects.toMatchObject({
      code: "BERTH_IDENTITY_INVALID",
      message: expect.stringContaining(`${name} is missing`),
    });
    expect(existsSync(file(name))).toBe(false);
  });

  it("does not take an interrupted join for a new cluster", async () => {
    await (await ServerDirectory.open(dataDir)).beginJoin();
    await expect(open()).rejects.toThrow(/has not finished joining .*run "berth server join" again/);
    expect(existsSync(file("cluster.key"))).toBe(false);
  });

  it("completes a join that has stored its certificate", async () => {
    await open();
    await (await ServerDirectory.open(dataDir)).beginJoin();
    await rm(file("authority.json"));
    expect((await open()).firstAuthority).toBeUndefined();
    expect(existsSync(file("joining"))).toBe(false);
  });
});

describe("the certificate for etcd", () => {
  it("names the server and the addresses of its etcd, and is issued by the authority for etcd", async () => {
    const identity = await open();
    const { files } = await etcdCertificate(identity, ["10.0.0.1", "server.example", "127.0.0.1"], NOW_MS);
    const x509 = parseCertificate(files.certificate);
    const authority = readAuthority(issuingAuthority(identity.etcdAuthorities).certificate);
    const trust = { cluster: authority.cluster, authorities: [authority] };
    expect(verifyCertificate(x509, trust, { nowMs: NOW_MS }).identity).toEqual({
      kind: "server",
      id: identity.serverId,
    });
    expect(x509.checkIP("10.0.0.1")).toBe("10.0.0.1");
    expect(x509.subjectAltName).not.toContain("server.example");
  });

  it("stays when it is valid, and is issued again when it is old or lacks an address", async () => {
    const identity = await open();
    const serialAt = async (afterMs: number, hosts: readonly string[]) => {
      const { files } = await etcdCertificate(identity, hosts, NOW_MS + afterMs);
      return certificateFacts(parseCertificate(files.certificate)).serial;
    };
    const first = await serialAt(0, ["127.0.0.1"]);
    expect(await serialAt(DAY_MS / 2, ["127.0.0.1"])).toBe(first);
    const second = await serialAt(DAY_MS / 2, ["127.0.0.1", "10.0.0.1"]);
    expect(second).not.toBe(first);
    expect(await serialAt(100 * DAY_MS, ["127.0.0.1", "10.0.0.1"])).not.toBe(second);
  });

  it("the certificate for etcd is issued again when its files are damaged", async () => {
    const identity = await open();
    const { paths, files } = await etcdCertificate(identity, ["127.0.0.1"], NOW_MS);
    for (const path of Object.values(paths)) {
      await truncate(path, 10);
      const { files: repaired } = await etcdCertificate(identity, ["127.0.0.1"], NOW_MS);
      expect(repaired.certificate).not.toBe(files.certificate);
      expect(await readFile(paths.keyFile, "utf8")).toBe(repaired.key);
    }
  });
});
