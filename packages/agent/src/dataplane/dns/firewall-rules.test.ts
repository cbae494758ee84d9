import { spawn, spawnSync } from "node:child_process";
import { afterEach, describe, expect, it } from "vitest";
import { type RunProgram, runProgram } from "../../runtime/run-program.js";
import { DnsFirewallRules, isGuarded } from "./firewall-rules.js";

const isRoot = process.getuid?.() === 0;
const hasIptables = spawnSync("iptables", ["--version"]).status === 0;

describe.skipIf(!isRoot || !hasIptables)("Door", () => {
  let namespace: ReturnType<typeof spawn>;
  afterEach(() => void namespace.kill());

  /** Runs programs in a network namespace of its own, which goes with its only process. */
  async function inside(): Promise<RunProgram> {
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

  it("lets questions in past a firewall, again after it was set anew, and closes behind the last", async () => {
    const run = await inside();
    await run("iptables", { args: ["-P", "INPUT", "DROP"], signal });
    const door = new DnsFirewallRules(run);
    await door.open(true);
    const opened = [
      "-P INPUT DROP",
      "-A INPUT -i bth+ -p tcp -m tcp --dport 53 -j ACCEPT",
      "-A INPUT -i bth+ -p udp -m udp --dport 53 -j ACCEPT",
    ];
    expect(await inputRules(run)).toEqual(opened);
    await door.close({ isLast: false });
    const successor = new DnsFirewallRules(run);
    await successor.open(true);
    expect(await inputRules(run)).toEqual(opened);
    await successor.close({ isLast: true });
    expect(await inputRules(run)).toEqual(["-P INPUT DROP"]);
  });

  it("does nothing where nothing is in the way", async () => {
    const run = await inside();
    const door = new DnsFirewallRules(run);
    await door.open(true);
    expect(await inputRules(run)).toEqual(["-P INPUT ACCEPT"]);
    await door.close({ isLast: true });
  });
});

it.each([
  ["-P INPUT ACCEPT\n", false],
  ["-P INPUT DROP\n", true],
  ["-P INPUT ACCEPT\n-A INPUT -j ufw-before-input\n", true],
  ["-P INPUT ACCEPT\n-A INPUT -i bth+ -p udp -m udp --dport 53 -j ACCEPT\n", false],
])("isGuarded(%j) is %s", (rules, expected) => {
  expect(isGuarded(rules)).toBe(expected);
});
