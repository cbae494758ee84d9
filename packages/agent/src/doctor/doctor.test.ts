import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { BERTH_VERSION, GetClusterResponse, PROTOCOL_VERSIONS } from "@berth/proto";
import { createKey, createRequest } from "@berth/proto/identity";
import { RotatingIdentity } from "@berth/proto/rpc";
import { describe, expect, it } from "vitest";
import { TestCluster } from "../identity/testing/joined-host.js";
import { failed, ok, skipped, warning } from "./check.js";
import { evaluateMtu } from "./checks/address.js";
import { checkImagePort, evaluateClock, evaluateVersion } from "./checks/cluster.js";
import { evaluateDisk } from "./checks/disk.js";
import { evaluateQuery } from "./checks/dns.js";
import { checkRootDisk, evaluateDaemon, evaluateForwardChain } from "./checks/docker.js";
import { problemOf } from "./checks/kernel-paths.js";
import { exitCodeOf, formatFindings } from "./report.js";
import { runChecks } from "./run-checks.js";

const GIB = 1024 ** 3;
const DOCKER = { version: "20.10.24", apiVersion: "1.41", isRootless: false, isDesktop: false };

describe("the checks", () => {
  it.each([
    [{ bavail: 50, ffree: 50 }, "ok"],
    [{ bavail: 5, ffree: 50 }, "warning"],
    [{ bavail: 50, ffree: 1 }, "failed"],
    [{ bavail: 1, ffree: 50 }, "failed"],
  ])("reports a disk with %o of 100 units free as %s", (free, verdict) => {
    expect(evaluateDisk("disk", "/data", { bsize: GIB, blocks: 100, files: 100, ...free }).verdict).toBe(
      verdict,
    );
  });

  it.each([
    [{ kind: "done", stdout: "" }, "ok"],
    [{ kind: "missing" }, "warning"],
    [{ kind: "failed", reason: "no response" }, "failed"],
    [{ kind: "failed", reason: "ECONNREFUSED" }, "failed"],
    [{ kind: "failed", reason: "nsenter: no such process" }, "skipped"],
  ] as const)("report a DNS query with the result %o as %s", (result, verdict) => {
    expect(evaluateQuery("shop_default", result).verdict).toBe(verdict);
  });

  it("reports a filesystem without inodes by its free blocks", () => {
    expect(
      evaluateDisk("disk", "/", { bsize: GIB, blocks: 100, bavail: 90, files: 0, ffree: 0 }).verdict,
    ).toBe("ok");
  });

  it.each([
    [40, "ok"],
    [-40, "ok"],
    [700, "warning"],
    [-60_000, "failed"],
  ])("reports a clock that is %i ms ahead as %s", (aheadMs, verdict) => {
    expect(evaluateClock(aheadMs)).toMatchObject({ verdict });
  });

  it.each([
    [BERTH_VERSION, PROTOCOL_VERSIONS, "ok"],
    ["0.1.0", { oldest: 0, newest: 1 }, "warning"],
    ["9.0.0", { oldest: 9, newest: 10 }, "failed"],
  ])(
    "report a server with release %s and protocols %o as %s",
    (serverVersion, { oldest, newest }, verdict) => {
      const versions = { serverVersion, protocolVersion: newest, oldestProtocolVersion: oldest };
      const cluster = GetClusterResponse.fromPartial(versions);
      expect(evaluateVersion("server a", cluster)).toMatchObject({ verdict });
    },
  );

  it.each([
    [DOCKER, "ok"],
    [{ ...DOCKER, apiVersion: "1.40" }, "failed"],
    [{ ...DOCKER, apiVersion: "1.5" }, "failed"],
    [{ ...DOCKER, apiVersion: "1.100" }, "ok"],
    [{ ...DOCKER, apiVersion: "2.0" }, "ok"],
    [{ ...DOCKER, isRootless: true }, "warning"],
    [{ ...DOCKER, isDesktop: true }, "warning"],
  ])("compare API versions by number and report Docker %o as %s", (facts, verdict) => {
    expect(evaluateDaemon(facts).verdict).toBe(verdict);
  });

  it.each([
    ["-P FORWARD ACCEPT\n", "ok"],
    ["-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-ISOLATION-STAGE-1\n", "ok"],
    ["-P FORWARD DROP\n-A FORWARD -j OTHER\n", "warning"],
  ])("reports the FORWARD chain %j as %s", (stdout, verdict) => {
    expect(evaluateForwardChain({ kind: "done", stdout }).verdict).toBe(verdict);
  });

  it("reports firewall rules and disks that could not be read as skipped", async () => {
    expect(evaluateForwardChain({ kind: "missing" }).verdict).toBe("skipped");
    expect((await checkRootDisk("/nowhere/var/lib/docker")).verdict).toBe("skipped");
  });

  it.each([
    [9_000, "ok"],
    [1_450, "ok"],
    [1_280, "warning"],
  ])("reports an MTU of %i as %s", (mtu, verdict) => {
    expect(evaluateMtu("eth0", mtu, "10.0.0.1").verdict).toBe(verdict);
  });

  it("distinguishes a missing program from a failed one", () => {
    expect(problemOf({ kind: "done", stdout: "" }, "nft")).toBeUndefined();
    expect(problemOf({ kind: "missing" }, "nft")).toContain("unshare");
    const absent = {
      kind: "failed",
      reason: "unshare: failed to execute nft: No such file or directory",
    } as const;
    expect(problemOf(absent, "nft")).toBe("nft is not installed");
    expect(problemOf({ kind: "failed", reason: "Error: Unknown device type." }, "ip")).toBe(
      "Error: Unknown device type.",
    );
  });
});

describe("runChecks", () => {
  it("reports unreachable services as failed, and runs the other checks", async () => {
    const cluster = await TestCluster.create();
    const key = createKey();
    const { certificate, authorities } = await cluster.certify(await createRequest(key), {
      kind: "node",
      id: "n1",
    });
    const findings = await runChecks({
      servers: ["127.0.0.1:1"],
      identity: new RotatingIdentity({ authorities, leaf: { certificate, key } }),
      advertiseAddress: "192.0.2.1",
      dataDir: "/nowhere/berth/agent",
      dockerSocket: "/nowhere/docker.sock",
      ingressUser: "root",
      signal: AbortSignal.timeout(20_000),
    });
    const verdicts = Object.fromEntries(findings.map(({ subject, verdict }) => [subject, verdict]));
    expect(verdicts).toMatchObject({ Docker: "failed", address: "failed", "server 127.0.0.1:1": "failed" });
    expect(verdicts["data directory"]).toBeDefined();
    expect(exitCodeOf(findings)).toBe(1);
  });
});

describe("formatFindings", () => {
  const findings = [
    ok("Docker", "20.10"),
    warning("conntrack", "not there", "Install it."),
    failed("a", "b", "c"),
    skipped("DNS", "not checked"),
  ];

  it("prints a line for each finding, its advice below it, and a summary", () => {
    expect(formatFindings(findings, { colors: false })).toMatchInlineSnapshot(`
      "✓ Docker     20.10
      ! conntrack  not there
                   → Install it.
      ✗ a          b
                   → c
      - DNS        not checked

      1 ok, 1 warning, 1 failed, 1 skipped
      "
    `);
  });

  it("leaves out counts of 0 in the summary", () => {
    const warnings = [warning("a", "b", ""), warning("c", "d", "")];
    expect(formatFindings([ok("x", "y"), ...warnings], { colors: false })).toMatch(/\n\n1 ok, 2 warnings\n$/);
    expect(formatFindings([ok("x", "y")], { colors: false })).toMatch(/\n\n1 ok\n$/);
  });
});

it("exitCodeOf returns 1 only when a check failed", () => {
  expect(exitCodeOf([ok("a", "b"), failed("c", "d", "")])).toBe(1);
  expect(exitCodeOf([ok("a", "b"), warning("c", "d", ""), skipped("e", "f")])).toBe(0);
});

it("the doctor connects to the port on which a peer serves images", async () => {
  const { signal } = new AbortController();
  const address = "127.0.0.1";
  const server = createServer().listen(0, address);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const verdictOf = async (imagePort: number): Promise<string> =>
    (await checkImagePort("peer h2 images", { address, imagePort }, signal)).verdict;
  expect(await verdictOf(port)).toBe("ok");
  server.close();
  // Nothing listens on port 1.
  expect(await verdictOf(1)).toBe("warning");
  expect(await verdictOf(0)).toBe("skipped");
});
