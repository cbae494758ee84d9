import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { parseCertificate } from "./certificate.js";
import { IdentityDirectory, type IdentityFileSystem } from "./identity-directory.js";
import { isKeyOf } from "./private-key.js";
import { TestAuthority } from "./testing/test-authority.js";

/** The crash test syncs hundreds of files, which takes milliseconds each on a busy disk. */
const FAST_DIRECTORY = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

const NODE = { kind: "node", id: "n1" } as const;

let ca: TestAuthority;
let next: TestAuthority;
let parent: string;
let path: string;

beforeAll(async () => {
  ca = await TestAuthority.create();
  next = await TestAuthority.create();
});

beforeEach(async () => {
  parent = await fs.mkdtemp(join(FAST_DIRECTORY, "berth-identity-"));
  path = join(parent, "identity");
});

afterEach(() => fs.rm(parent, { recursive: true }));

/** Requests and stores a certificate for a new key. */
async function renew(directory: IdentityDirectory, authority: TestAuthority, authorities: string) {
  const certificate = await authority.certify(await directory.prepareKey(), NODE);
  return directory.store({ certificate, authorities });
}

/** A file system that fails like a crash at the n-th operation, and at all later ones. */
function crashAt(n: number): IdentityFileSystem {
  let count = 0;
  const step = (): void => {
    count += 1;
    if (count >= n) throw new Error("crashed");
  };
  const counted = <F extends (...args: never[]) => unknown>(run: F): F =>
    ((...args: Parameters<F>) => {
      step();
      return run(...args);
    }) as F;
  return {
    chmod: counted(fs.chmod),
    lstat: counted(fs.lstat),
    readFile: counted(fs.readFile),
    rename: counted(fs.rename),
    rm: counted(fs.rm),
    open: counted(async (...args: Parameters<typeof fs.open>) => {
      const file = await fs.open(...args);
      const { writeFile, sync } = file;
      file.writeFile = async (data, options) => {
        // Half of the text arrives before the crash.
        if (count + 1 >= n) await writeFile.call(file, String(data).slice(0, String(data).length / 2));
        step();
        return writeFile.call(file, data, options);
      };
      file.sync = async () => {
        step();
        return sync.call(file);
      };
      return file;
    }),
  };
}

describe("IdentityDirectory", () => {
  it("returns undefined before a certificate is stored, and then what was stored", async () => {
    const directory = await IdentityDirectory.open(path);
    expect(await directory.load()).toBeUndefined();
    const stored = await renew(directory, ca, ca.certificate);
    expect(await directory.load()).toEqual(stored);
    expect(await (await IdentityDirectory.open(path)).load()).toEqual(stored);
  });

  it("returns the paths of the files that it stores", async () => {
    const directory = await IdentityDirectory.open(path);
    const { certificate, key, authorities } = await renew(directory, ca, ca.certificate);
    const { certificateFile, keyFile, authoritiesFile } = directory.paths;
    const texts = await Promise.all(
      [certificateFile, keyFile, authoritiesFile].map((file) => fs.readFile(file, "utf8")),
    );
    expect(texts).toEqual([certificate, key, authorities]);
  });

  it("lets only the owner read the directory and its keys, and tightens permissions that are too wide", async () => {
    await fs.mkdir(path, { mode: 0o755 });
    await fs.chmod(path, 0o755);
    const directory = await IdentityDirectory.open(path);
    await renew(directory, ca, ca.certificate);
    const key = join(path, "key.pem");
    const modeOf = async (file: string) => (await fs.stat(file)).mode & 0o777;
    expect([await modeOf(path), await modeOf(key)]).toEqual([0o700, 0o600]);
    await fs.chmod(key, 0o644);
    await directory.load();
    expect(await modeOf(key)).toBe(0o600);
  });

  it.runIf(process.geteuid?.() === 0)("rejects a directory or key of another user", async () => {
    const directory = await IdentityDirectory.open(path);
    await renew(directory, ca, ca.certificate);
    await fs.chown(join(path, "key.pem"), 12_345, 0);
    const expected = {
      code: "BERTH_IDENTITY_INVALID",
      message: expect.stringContaining("belongs to the user 12345"),
    };
    await expect(directory.load()).rejects.toMatchObject(expected);
    await fs.chown(path, 12_345, 0);
    await expect(IdentityDirectory.open(path)).rejects.toMatchObject(expected);
  });

  it("rejects a link in the place of the directory or of a key", async () => {
    await fs.symlink(parent, path);
    await expect(IdentityDirectory.open(path)).rejects.toMatchObject({ code: "BERTH_IDENTITY_INVALID" });
  });

  it("keeps the prepared key until its certificate is stored", async () => {
    const directory = await IdentityDirectory.open(path);
    const key = await directory.prepareKey();
    expect(await (await IdentityDirectory.open(path)).prepareKey()).toBe(key);
    const certificate = await ca.certify(key, NODE);
    expect((await directory.store({ certificate, authorities: ca.certificate })).key).toBe(key);
    expect(await directory.prepareKey()).not.toBe(key);
    // The next key waits, and the current one still belongs to the certificate.
    expect((await directory.load())?.key).toBe(key);
  });

  it("replaces the trusted authorities alone, and rejects a bundle that is damaged", async () => {
    const directory = await IdentityDirectory.open(path);
    const stored = await renew(directory, ca, ca.certificate);
    const authorities = ca.certificate + next.certificate;
    await directory.storeAuthorities(authorities);
    expect(await directory.load()).toEqual({ ...stored, authorities });
    await expect(directory.storeAuthorities("x")).rejects.toMatchObject({
      code: "BERTH_CERTIFICATE_INVALID",
    });
    expect(await directory.load()).toEqual({ ...stored, authorities });
  });

  it("rejects a certificate for another key, of another cluster, and damaged files", async () => {
    const directory = await IdentityDirectory.open(path);
    const { certificate } = await ca.issue(NODE);
    const other = await TestAuthority.create("other");
    const invalid = { code: "BERTH_IDENTITY_INVALID" };
    await expect(directory.store({ certificate, authorities: ca.certificate })).rejects.toMatchObject(
      invalid,
    );
    const own = await ca.certify(await directory.prepareKey(), NODE);
    await expect(directory.store({ certificate: own, authorities: other.certificate })).rejects.toMatchObject(
      invalid,
    );
    await directory.store({ certificate: own, authorities: ca.certificate });
    for (const name of ["key.pem", "certificate.pem", "authorities.pem"]) {
      const file = join(path, name);
      const text = await fs.readFile(file, "utf8");
      await fs.writeFile(file, text.slice(0, 100));
      await expect(directory.load(), name).rejects.toMatchObject(invalid);
      await fs.writeFile(file, text);
    }
    await expect(directory.load()).resolves.toBeDefined();
  });

  it("has the old or the new identity after a crash at any operation of a renewal", async () => {
    const both = ca.certificate + next.certificate;
    const old = await renew(await IdentityDirectory.open(path), ca, both);
    const original = join(parent, "original");
    execFileSync("cp", ["-a", path, original]);
    const outcomes: string[] = [];
    for (let n = 1; ; n++) {
      await fs.rm(path, { recursive: true });
      execFileSync("cp", ["-a", original, path]);
      const hasCrashed = await IdentityDirectory.open(path, crashAt(n))
        .then((directory) => renew(directory, next, both))
        .then(
          () => false,
          () => true,
        );
      const directory = await IdentityDirectory.open(path);
      const loaded = await directory.load();
      if (loaded === undefined) throw new Error(`no identity after a crash at operation ${n}`);
      expect(isKeyOf(loaded.key, parseCertificate(loaded.certificate))).toBe(true);
      expect(await directory.load()).toEqual(loaded);
      outcomes.push(loaded.certificate === old.certificate ? "old" : "new");
      // A later renewal is not disturbed by what the crash left.
      expect((await renew(directory, next, both)).certificate).not.toBe(loaded.certificate);
      if (!hasCrashed) break;
    }
    expect(outcomes.length).toBeGreaterThan(20);
    expect(outcomes.join(" ")).toMatch(/^(old )+(new ?)+$/);
  });
});
