import { access } from "node:fs/promises";
import { SELF_TEST_RULESET } from "../../dataplane/kernel/open-kernel-path.js";
import { type ProgramResult, runProgram } from "../../runtime/run-program.js";
import type { Check, CheckContext } from "../check.js";
import { type Finding, failed, ok, warning } from "../finding.js";

const BRIDGE_FILTER = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/** Each is tried in a network namespace of its own, which is gone afterwards. */
interface Trial {
  readonly subject: string;
  readonly command: readonly string[];
  readonly input?: string;
  readonly judge: (problem: string) => Finding;
  readonly good: string;
}

const TRIALS: readonly Trial[] = [
  {
    subject: "nftables",
    command: ["nft", "-f", "-"],
    input: SELF_TEST_RULESET,
    good: "the kernel can balance published ports",
    judge: (problem) =>
      warning(
        "nftables",
        `the kernel cannot balance published ports: ${problem}`,
        "A process balances them instead, more slowly. For the kernel: apt-get install nftables, Linux 5.13 or newer.",
      ),
  },
  {
    subject: "VXLAN",
    command: ["ip", "link", "add", "vx", "type", "vxlan", "id", "1", "dstport", "4789"],
    good: "networks can span hosts",
    judge: (problem) =>
      failed(
        "VXLAN",
        `networks cannot span hosts: ${problem}`,
        "Only services without networks, and published ports, can run here. Use a kernel with VXLAN, and install iproute2.",
      ),
  },
  {
    subject: "WireGuard",
    command: ["ip", "link", "add", "wg", "type", "wireguard"],
    good: "networks can be encrypted",
    judge: (problem) =>
      warning(
        "WireGuard",
        `networks cannot be encrypted: ${problem}`,
        'Services in networks with encrypted: "true" are not placed here. Use a kernel with WireGuard.',
      ),
  },
];

/** What the kernel of this host can do for berth, by trying it. */
export const checkKernelPaths: Check = async (context) => {
  if (process.getuid?.() !== 0) {
    return [warning("kernel", "only root can try what the kernel can do", "Run berth doctor as root.")];
  }
  const tried = await Promise.all(TRIALS.map((trial) => attempt(trial, context)));
  return [...tried, await bridgeFilter(), await conntrackTool(context)];
};

async function attempt(trial: Trial, { signal }: CheckContext): Promise<Finding> {
  const [program = ""] = trial.command;
  const result = await runProgram("unshare", {
    args: ["--net", ...trial.command],
    input: trial.input ?? "",
    signal,
  });
  const problem = problemOf(result, program);
  return problem === undefined ? ok(trial.subject, trial.good) : trial.judge(problem);
}

/** What kept a trial from working; undefined: nothing did. */
export function problemOf(result: ProgramResult, program: string): string | undefined {
  switch (result.kind) {
    case "done":
      return undefined;
    case "missing":
      return "unshare is not installed (util-linux)";
    case "failed":
      return /No such file|failed to execute/.test(result.reason) && result.reason.includes(program)
        ? `${program} is not installed`
        : result.reason;
  }
}

async function bridgeFilter(): Promise<Finding> {
  try {
    await access(BRIDGE_FILTER);
    return ok("br_netfilter", "virtual IPs work between containers of one host");
  } catch {
    return warning(
      "br_netfilter",
      "virtual IPs cannot keep the address of containers on one host",
      "modprobe br_netfilter, and name it in /etc/modules-load.d/.",
    );
  }
}

async function conntrackTool({ signal }: CheckContext): Promise<Finding> {
  const { kind } = await runProgram("conntrack", { args: ["--version"], signal });
  if (kind === "done") return ok("conntrack", "connections to dead hosts are reset at once");
  return warning(
    "conntrack",
    "connections to dead hosts hang until their clients give up",
    "apt-get install conntrack",
  );
}
