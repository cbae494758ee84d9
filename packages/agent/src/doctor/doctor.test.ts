import { describe, expect, it } from "vitest";
import { judgeMtu } from "./checks/address.js";
import { judgeClock } from "./checks/cluster.js";
import { judgeDisk } from "./checks/disk.js";
import { judgeAnswer } from "./checks/dns.js";
import { judgeDocker, judgeForward } from "./checks/docker.js";
import { problemOf } from "./checks/kernel-paths.js";
import { failed, ok, warning } from "./finding.js";
import { exitCodeOf, formatFindings } from "./report.js";
import { runChecks } from "./run-checks.js";

const GIB = 1024 ** 3;
const DOCKER = { version: "20.10.24", apiVersion: "1.41", isRootless: false, isDesktop: false };

describe("what the checks make of what they see", () => {
  it.each([
    [{ bavail: 50, ffree: 50 }, "ok"],
    [{ bavail: 5, ffree: 50 }, "warning"],
    [{ bavail: 50, ffree: 1 }, "failed"],
    [{ bavail: 1, ffree: 50 }, "failed"],
  ])("a disk with %o of a hundred free is %s", (free, verdict) => {
    expect(judgeDisk("disk", "/data", { bsize: GIB, blocks: 100, files: 100, ...free }).verdict).toBe(
      verdict,
    );
  });

  it.each([
    [{ kind: "done", stdout: "" }, "ok"],
    [{ kind: "missing" }, "warning"],
    [{ kind: "failed", reason: "silence" }, "failed"],
    [{ kind: "failed", reason: "ECONNREFUSED" }, "failed"],
    [{ kind: "failed", reason: "nsenter: no such process" }, "warning"],
  ] as const)("a question for names that ends as %o is %s", (result, verdict) => {
    expect(judgeAnswer("shop_default", result).verdict).toBe(verdict);
  });

  it("a filesystem without inodes of its own is judged by its room", () => {
    expect(judgeDisk("disk", "/", { bsize: GIB, blocks: 100, bavail: 90, files: 0, ffree: 0 }).verdict).toBe(
      "ok",
    );
  });

  it.each([
    [40, "ok"],
    [-40, "ok"],
    [700, "warning"],
    [-60_000, "failed"],
  ])("a clock that is %i ms off is %s", (aheadMs, verdict) => {
    expect(judgeClock(aheadMs)).toMatchObject({ verdict });
  });

  it.each([
    [DOCKER, "ok"],
    [{ ...DOCKER, apiVersion: "1.40" }, "failed"],
    [{ ...DOCKER, isRootless: true }, "warning"],
    [{ ...DOCKER, isDesktop: true }, "warning"],
  ])("Docker %o is %s", (facts, verdict) => {
    expect(judgeDocker(facts).verdict).toBe(verdict);
  });

  it.each([
    ["-P FORWARD ACCEPT\n", "ok"],
    ["-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-ISOLATION-STAGE-1\n", "ok"],
    ["-P FORWARD DROP\n-A FORWARD -j somebody-elses\n", "warning"],
  ])("rules %j are %s", (rules, verdict) => {
    expect(judgeForward(rules).verdict).toBe(verdict);
  });

  it.each([
    [9_000, "ok"],
    [1_450, "ok"],
    [1_280, "warning"],
  ])("an MTU of %i is %s", (mtu, verdict) => {
    expect(judgeMtu("eth0", mtu).verdict).toBe(verdict);
  });

  it("tells a program that is missing from one that failed", () => {
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

describe("examine()", () => {
  it("tells what cannot be reached, and the rest all the same", async () => {
    const findings = await runChecks({
      servers: ["127.0.0.1:1"],
      advertiseAddress: "192.0.2.1",
      dataDir: "/nowhere/berth/agent",
      dockerSocket: "/nowhere/docker.sock",
      signal: AbortSignal.timeout(20_000),
    });
    const verdicts = Object.fromEntries(findings.map(({ subject, verdict }) => [subject, verdict]));
    expect(verdicts).toMatchObject({ Docker: "failed", address: "failed", "server 127.0.0.1:1": "failed" });
    expect(verdicts["data folder"]).toBeDefined();
    expect(exitCodeOf(findings)).toBe(1);
  });
});

describe("formatFindings()", () => {
  const findings = [
    ok("Docker", "20.10"),
    warning("conntrack", "not there", "Install it."),
    failed("a", "b", "c"),
  ];

  it("gives each a line, advice below it, and counts", () => {
    expect(formatFindings(findings, { colours: false })).toMatchInlineSnapshot(`
      "✓ Docker     20.10
      ! conntrack  not there
                   → Install it.
      ✗ a          b
                   → c

      1 well, 1 could be better, 1 failed
      "
    `);
  });

  it("calls only a failure a failure", () => {
    expect(exitCodeOf(findings)).toBe(1);
    expect(exitCodeOf(findings.slice(0, 2))).toBe(0);
  });
});
