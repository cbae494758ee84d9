import { randomBytes } from "node:crypto";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BerthError, JoinKind } from "@berth/proto";
import { formatJoinToken, hashRequestKey, readAuthority } from "@berth/proto/identity";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ContextHome } from "../../testing/context-home.js";
import { type FakeControlHandlers, readyNode } from "../../testing/fake-control.js";
import { FakeTlsCluster } from "../../testing/fake-tls-control.js";

let cluster: FakeTlsCluster;
let home: ContextHome;
let address: string;
let joined: number;
/** Hashes of the public keys for which a certificate was requested. */
let requestedKeys: string[];
/** Called before a user is admitted. */
let onJoin: () => Promise<void> | void;
const cleanUps: (() => Promise<unknown>)[] = [];

const handlers: FakeControlHandlers = {
  join: async ({ certificateRequest }) => {
    joined += 1;
    requestedKeys.push(await hashRequestKey(certificateRequest));
    await onJoin();
    return {
      certificate: await cluster.certify(certificateRequest, { kind: "user", name: `user.${joined}` }),
      authorities: cluster.authority.certificate,
      servers: [address, "10.0.0.2:7400", "not an address", "unix:/run/x"],
      awaitsApproval: false,
    };
  },
  listNodes: async () => ({ nodes: [readyNode()] }),
};

// Loading the library for certificates takes seconds on a busy machine.
beforeAll(async () => {
  cluster = await FakeTlsCluster.create();
}, 60_000);

beforeEach(async () => {
  home = await ContextHome.create();
  joined = 0;
  requestedKeys = [];
  onJoin = () => {};
  const server = await cluster.start(handlers);
  address = server.address;
  cleanUps.push(server.close, () => home.remove());
});

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

function tokenFor(kind: JoinKind, certificate = cluster.authority.certificate): string {
  return formatJoinToken(kind, readAuthority(certificate).fingerprint, randomBytes(16));
}

const create = (options: string, stdin = tokenFor(JoinKind.USER)) =>
  home.berth(`context create lab --server ${address} --invitation-file -${options}`, { stdin: `${stdin}\n` });

describe("context create with an invitation", () => {
  test("gets a certificate with which commands work, and saves all servers", async () => {
    expect(await create("")).toEqual({
      code: 0,
      err: "",
      out: "Saved context lab. To use it, run: berth context use lab\n",
    });
    const [directory = ""] = await home.identities();
    expect((await stat(home.identityDirectory(directory))).mode & 0o777).toBe(0o700);
    await home.berth("context use lab");
    expect((await home.berth("node ls -q")).out).toBe("node1\n");
    const [, row] = JSON.parse((await home.berth("context ls -o json")).out);
    expect(row).toEqual({
      name: "lab",
      server: `${address},10.0.0.2:7400`,
      current: true,
      identity: { cluster: "test", name: "user.1", validUntilMs: expect.any(Number) },
    });
    expect((await home.berth("context ls")).out).toMatch(
      /^lab \* .* user\.1 +test +20\d\d-\d\d-\d\dT[\d:.]+Z$/m,
    );
    expect((await home.berth("context ls -q")).out).toBe("default\nlab\n");
  });

  test("reads a file, and -o json shows the context", async () => {
    const file = join(home.path, "invitation");
    await writeFile(file, `${tokenFor(JoinKind.USER)}\n`);
    const { out } = await home.berth(`context create lab -s ${address} --invitation-file ${file} -o json`);
    expect(JSON.parse(out)).toMatchObject({ name: "lab", current: false, identity: { name: "user.1" } });
  });

  test("replaces the identity of an existing context", async () => {
    await create("");
    const [first] = await home.identities();
    await create("");
    const identities = await home.identities();
    expect(identities).toHaveLength(1);
    expect(identities[0]).not.toBe(first);
    expect((await home.berth("context ls")).out).toContain("user.2");
  });

  test.each([
    ["BERTH_TOKEN_INVALID of the server", "BERTH_TOKEN_INVALID", 2],
    ["BERTH_LIMIT_EXCEEDED", "BERTH_LIMIT_EXCEEDED", 1],
  ] as const)("leaves nothing behind after %s, and can be repeated", async (_, code, exitCode) => {
    onJoin = () => {
      throw new BerthError({ code, message: "the cluster rejected the join token: it has expired" });
    };
    const failed = await create("");
    expect([failed.code, failed.out]).toEqual([exitCode, ""]);
    expect(failed.err).toContain(`it has expired\n(${code})`);
    expect(await home.identities()).toEqual([]);
    expect((await home.berth("context ls -q")).out).toBe("default\n");
    onJoin = () => {};
    expect((await create("")).code).toBe(0);
  });

  test("keeps the old identity when the new one cannot be saved, and continues with the same invitation", async () => {
    await create("");
    const config = await readFile(home.configFile, "utf8");
    onJoin = () => writeFile(home.configFile, "broken");
    const invitation = tokenFor(JoinKind.USER);
    expect((await create("", invitation)).err).toContain("cannot read contexts");
    await writeFile(home.configFile, config);
    expect((await home.berth("context ls")).out).toContain("user.1");
    expect((await create("", invitation)).code).toBe(0);
    expect(joined).toBe(2);
    expect((await home.berth("context ls")).out).toContain("user.2");
    expect(await home.identities()).toHaveLength(1);
  });

  test("requests the certificate again for the same key when the answer was lost", async () => {
    const invitation = tokenFor(JoinKind.USER);
    const lost = ["BERTH_CANCELLED", "BERTH_DEADLINE"] as const;
    for (const code of lost) {
      onJoin = () => {
        throw new BerthError({ code, message: "the answer was lost" });
      };
      expect((await create("", invitation)).code).not.toBe(0);
    }
    onJoin = () => {};
    expect((await create("", invitation)).code).toBe(0);
    expect(new Set(requestedKeys).size).toBe(1);
    expect(requestedKeys).toHaveLength(3);
    // The key is used now. Another use of the invitation gets another key, which the cluster refuses.
    expect((await create("", invitation)).code).toBe(0);
    expect(new Set(requestedKeys).size).toBe(2);
    expect(await home.identities()).toHaveLength(1);
  });

  test("removes what an attempt with another invitation has left", async () => {
    onJoin = () => {
      throw new BerthError({ code: "BERTH_CANCELLED", message: "the answer was lost" });
    };
    await create("");
    expect(await home.identities()).toHaveLength(1);
    onJoin = () => {};
    await create("");
    expect(await home.identities()).toHaveLength(1);
    await home.berth("context rm lab");
    expect(await home.identities()).toEqual([]);
  });

  test("sends nothing to a server of another cluster", async () => {
    const other = await FakeTlsCluster.create("other");
    const { code, err } = await create("", tokenFor(JoinKind.USER, other.authority.certificate));
    expect(code).toBe(1);
    expect(err).toMatch(
      /server at 127\.0\.0\.1:\d+ does not belong to the cluster of this token: it presented/,
    );
    expect(err).toContain("(BERTH_AUTHORITY_MISMATCH)");
    expect(joined).toBe(0);
    expect(await home.identities()).toEqual([]);
  });

  test("rejects a token of a host, a damaged token, and a Unix socket", async () => {
    const node = await create("", tokenFor(JoinKind.NODE));
    expect([node.code, node.err]).toEqual([2, expect.stringContaining('use it with "berth agent join"')]);
    const damaged = await create("", tokenFor(JoinKind.USER).replace(/.$/, "x"));
    expect([damaged.code, damaged.err]).toEqual([2, expect.stringContaining("(BERTH_TOKEN_INVALID)")]);
    const stdin = tokenFor(JoinKind.USER);
    const socket = await home.berth("context create lab -s unix:/x --invitation-file -", { stdin });
    expect([socket.code, socket.err]).toEqual([2, expect.stringContaining("use HOST:PORT")]);
    expect(joined).toBe(0);
  });
});

describe("a context without an identity", () => {
  test("a context without an identity is for Unix sockets only", async () => {
    for (const server of ["10.0.0.9:7400", "unix:/run/x.sock,10.0.0.9:7400"]) {
      const { code, err } = await home.berth(`context create lab --server ${server}`);
      expect(code).toBe(2);
      expect(err).toContain(
        `context lab needs an identity for ${server}; ask an administrator for an invitation`,
      );
    }
    expect((await home.berth("context create lab --server unix:/run/x.sock")).code).toBe(0);
    const { code, err } = await home.berth("context update lab --server 10.0.0.9:7400");
    expect([code, err]).toEqual([
      2,
      expect.stringContaining("context lab has no identity for 10.0.0.9:7400"),
    ]);
    expect((await home.berth("context update lab --server unix:/run/y.sock")).code).toBe(0);
    expect((await home.berth("context ls")).out).toMatch(/^lab +unix:\/run\/y\.sock/m);
  });
});

describe("a context with an identity", () => {
  beforeEach(async () => {
    await create("");
  });

  test("a context with an identity is not replaced by one without an identity", async () => {
    const { code, err } = await home.berth("context create lab --server unix:/run/x.sock");
    expect(code).toBe(2);
    expect(err).toContain('"berth context update" to change only the servers');
    expect((await home.berth("context ls")).out).toContain("user.1");
  });

  test("keeps its identity when its servers are updated", async () => {
    expect((await home.berth("context update lab --server 10.0.0.9:7400")).code).toBe(0);
    expect((await home.berth("context ls")).out).toMatch(/^lab +10\.0\.0\.9:7400 +user\.1 /m);
    expect((await home.berth("context update lub --server 10.0.0.9:7400")).code).toBe(2);
  });

  test("loses it when it is removed", async () => {
    expect((await home.berth("context rm lab")).code).toBe(0);
    expect(await home.identities()).toEqual([]);
  });

  test("shows why it cannot be used when it is damaged", async () => {
    const [directory = ""] = await home.identities();
    await writeFile(join(home.identityDirectory(directory), "key.pem"), "x");
    const { code, out } = await home.berth("context ls");
    expect([code, out]).toEqual([0, expect.stringContaining("cannot read the private key")]);
  });
});
