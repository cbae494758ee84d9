import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type Server } from "node:tls";
import { createKey, createRequest } from "@berth/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HOUR_MS, TestCluster, type TestValidity } from "../identity/testing/joined-host.js";
import type { CheckContext, Finding } from "./check.js";
import { checkIdentity } from "./checks/identity.js";

const NODE = { kind: "node", id: "n1" } as const;
const DAY_MS = 24 * HOUR_MS;

let cluster: TestCluster;
let directory: string;

beforeAll(async () => {
  cluster = await TestCluster.create();
  directory = await mkdtemp(join(tmpdir(), "berth-doctor-"));
}, 60_000);

afterAll(() => rm(directory, { recursive: true, force: true }));

function check(dataDir: string, servers: readonly string[] = []): Promise<readonly Finding[]> {
  return checkIdentity({ dataDir, servers, signal: AbortSignal.timeout(20_000) } as unknown as CheckContext);
}

async function joined(name: string, validity: TestValidity = {}): Promise<string> {
  await cluster.join(join(directory, name), NODE, validity);
  return join(directory, name);
}

describe("the check of the identity", () => {
  it.each([
    ["valid", {}, "ok", 'node "n1" of the cluster test, valid until'],
    ["overdue", { fromMs: -9 * HOUR_MS }, "warning", "its renewal is overdue"],
    ["in its grace period", { fromMs: -2 * DAY_MS, untilMs: -DAY_MS }, "warning", "can be renewed until"],
    ["expired", { fromMs: -50 * DAY_MS, untilMs: -40 * DAY_MS }, "failed", "this host's clock says"],
    ["not yet valid", { fromMs: HOUR_MS, untilMs: DAY_MS }, "failed", "is not valid before"],
  ] as const)("reports a certificate that is %s", async (name, validity, verdict, message) => {
    expect(await check(await joined(name, validity))).toMatchObject([
      { subject: "identity", verdict, message: expect.stringContaining(message) },
    ]);
  });

  it("skips a host that has not joined", async () => {
    expect(await check(join(directory, "nowhere"))).toMatchObject([{ verdict: "skipped" }]);
  });

  it("reports damaged files, a key of another certificate, and files that others can read", async () => {
    const dataDir = await joined("damaged");
    const path = (name: string): string => join(dataDir, "identity", name);
    await chmod(path("key.pem"), 0o644);
    expect(await check(dataDir)).toMatchObject([
      { verdict: "failed", message: expect.stringMatching(/key\.pem is accessible to other users/) },
      { verdict: "ok" },
    ]);
    await writeFile(path("key.pem"), createKey(), { mode: 0o600 });
    await chmod(path("key.pem"), 0o600);
    expect(await check(dataDir)).toMatchObject([{ message: "no key matches the certificate" }]);
    await writeFile(path("authorities.pem"), "damaged");
    expect(await check(dataDir)).toMatchObject([{ verdict: "failed" }]);
  });

  it("reports a server that presents another CA", async () => {
    const dataDir = await joined("servers");
    const own = await listen(cluster);
    const stranger = await listen(await TestCluster.create());
    try {
      expect(await check(dataDir, [own.address])).toMatchObject([{ verdict: "ok" }]);
      expect(await check(dataDir, [stranger.address])).toMatchObject([
        { verdict: "ok" },
        { verdict: "failed", message: expect.stringContaining("does not belong to the cluster") },
      ]);
    } finally {
      own.server.close();
      stranger.server.close();
    }
  });
});

/** Listens with the certificate of a server of this cluster. */
async function listen(of: TestCluster): Promise<{ readonly server: Server; readonly address: string }> {
  const key = createKey();
  const { certificate, authorities } = await of.certify(await createRequest(key), {
    kind: "server",
    id: "s1",
  });
  const server = createServer({ key, cert: `${certificate}\n${authorities}`, ALPNProtocols: ["h2"] });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server does not listen");
  return { server, address: `127.0.0.1:${address.port}` };
}
