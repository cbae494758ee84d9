import { spawn, spawnSync } from "node:child_process";
import { afterEach, describe, expect, it } from "vitest";
import { type RunProgram, runProgram } from "../../runtime/run-program.js";
import { DnsFirewallRules, mayReject } from "./firewall-rules.js";

const isRoot = process.getuid?.() === 0;
const hasIptables = spawnSync("iptables", ["--version"]).status === 0;

describe.skipIf(!isRoot || !hasIptables)("DnsFirewallRules", () => {
  let namespace: ReturnType<typeof spawn>;
  afterEach(() => void namespace.kill());

  /** Returns a function that runs programs in a new network namespace. The namespace ends with the test. */
  async function createNamespace(): Promise<RunProgram> {
    namespace = spawn("unshare", ["--net", "sh", "-c", "echo here; exec sleep 60"], { stdio: "pipe" });
    await new Promise((resolve) => namespace.stdout?.once("data", resolve));
    const net = `--net=/proc/${namespace.pid}/ns/net`;
    return (program, { args, signal }) => runProgram("nsenter", { args: [net, program, ...args], signal });
  }
  const { signal } = new AbortController();
  const inputRules = async (run: RunProgram): Promise<readonly string[]> => {
    const result = await run("iptables", { args: ["-S", "INPUT"], signal });
    return result.kind === "done" ? result.stdout.trim().split("\n") : [result.kind];
  };

  it("accepts queries in front of a firewall, survives a handover and removes the rules at the end", async () => {
    const run = await createNamespace();
    await run("iptables", { args: ["-P", "INPUT", "DROP"], signal });
    const rules = new DnsFirewallRules(run);
    await rules.setEnabled(true);
    const opened = [
      "-P INPUT DROP",
      "-A INPUT -i bth+ -p tcp -m tcp --dport 53 -j ACCEPT",
      "-A INPUT -i bth+ -p udp -m udp --dport 53 -j ACCEPT",
    ];
    expect(await inputRules(run)).toEqual(opened);
    await rules.close({ isLast: false });
    const successor = new DnsFirewallRules(run);
    await successor.setEnabled(true);
    expect(await inputRules(run)).toEqual(opened);
    await successor.close({ isLast: true });
    expect(await inputRules(run)).toEqual(["-P INPUT DROP"]);
  });

  it("adds no rules when the INPUT chain accepts everything", async () => {
    const run = await createNamespace();
    const rules = new DnsFirewallRules(run);
    await rules.setEnabled(true);
    expect(await inputRules(run)).toEqual(["-P INPUT ACCEPT"]);
    await rules.close({ isLast: true });
  });
});

it.each([
  ["-P INPUT ACCEPT\n", false],
  ["-P INPUT DROP\n", true],
  ["-P INPUT ACCEPT\n-A INPUT -j ufw-before-input\n", true],
  ["-P INPUT ACCEPT\n-A INPUT -i bth+ -p udp -m udp --dport 53 -j ACCEPT\n", false],
])("mayReject(%j) is %s", (rules, expected) => {
  expect(mayReject(rules)).toBe(expected);
});
