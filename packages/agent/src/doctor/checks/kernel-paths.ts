import { access } from "node:fs/promises";
import { assertNever } from "@berth/proto";
import { SELF_TEST_RULESET } from "../../dataplane/kernel/open-kernel-path.js";
import { type ProgramResult, runProgram } from "../../runtime/run-program.js";
import { type Check, type CheckContext, type Finding, failed, ok, warning } from "../check.js";

const BRIDGE_FILTER = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/** A command that needs a kernel feature. It runs in a temporary network namespace. */
interface FeatureTest {
  readonly subject: string;
  readonly command: readonly string[];
  readonly input?: string;
  readonly successMessage: string;
  readonly evaluateProblem: (problem: string) => Finding;
}

const FEATURE_TESTS: readonly FeatureTest[] = [
  {
    subject: "nftables",
    command: ["nft", "-f", "-"],
    input: SELF_TEST_RULESET,
    successMessage: "the kernel can balance published ports",
    evaluateProblem: (problem) =>
      warning(
        "nftables",
        `the kernel cannot balance published ports: ${problem}`,
        "Published ports use the slower user-space proxy. Install nftables, and use Linux 5.13 or later.",
      ),
  },
  {
    subject: "VXLAN",
    command: ["ip", "link", "add", "vx", "type", "vxlan", "id", "1", "dstport", "4789"],
    successMessage: "overlay networks work",
    evaluateProblem: (problem) =>
      failed(
        "VXLAN",
        `overlay networks do not work: ${problem}`,
        "Services with networks are not placed on this host. Install iproute2, and use a kernel with VXLAN.",
      ),
  },
  {
    subject: "WireGuard",
    command: ["ip", "link", "add", "wg", "type", "wireguard"],
    successMessage: "encrypted networks work",
    evaluateProblem: (problem) =>
      warning(
        "WireGuard",
        `encrypted networks do not work: ${problem}`,
        "Services with encrypted networks are not placed on this host. Use a kernel with WireGuard.",
      ),
  },
];

/** Checks the kernel features that balancing, overlay networks and virtual IPs need, by using them. */
export const checkKernelPaths: Check = async (context) => {
  if (process.getuid?.() !== 0) {
    return [warning("kernel", "not checked: requires root", "Run berth doctor as root.")];
  }
  const features = await Promise.all(FEATURE_TESTS.map((test) => runFeatureTest(test, context)));
  return [...features, await checkBridgeFilter(), await checkConntrack(context)];
};

async function runFeatureTest(test: FeatureTest, { signal }: CheckContext): Promise<Finding> {
  const [program = "", ...args] = test.command;
  const result = await runProgram("unshare", {
    args: ["--net", program, ...args],
    input: test.input ?? "",
    signal,
  });
  const problem = problemOf(result, program);
  return problem === undefined ? ok(test.subject, test.successMessage) : test.evaluateProblem(problem);
}

/** Returns why `unshare` failed to run a program, or undefined if it succeeded. */
export function problemOf(result: ProgramResult, program: string): string | undefined {
  switch (result.kind) {
    case "done":
      return undefined;
    case "missing":
      return "unshare is not installed (util-linux)";
    case "failed": {
      const isMissing =
        /No such file|failed to execute/.test(result.reason) && result.reason.includes(program);
      return isMissing ? `${program} is not installed` : result.reason;
    }
    default:
      return assertNever(result);
  }
}

async function checkBridgeFilter(): Promise<Finding> {
  try {
    await access(BRIDGE_FILTER);
    return ok("br_netfilter", "virtual IPs work between containers on this host");
  } catch {
    return warning(
      "br_netfilter",
      "virtual IPs do not preserve the client address between containers on this host",
      "Run modprobe br_netfilter, and add the module to /etc/modules-load.d/.",
    );
  }
}

async function checkConntrack({ signal }: CheckContext): Promise<Finding> {
  const { kind } = await runProgram("conntrack", { args: ["--version"], signal });
  if (kind === "done") return ok("conntrack", "connections to failed hosts are reset immediately");
  return warning(
    "conntrack",
    "connections to failed hosts are not reset: clients wait for their own timeout",
    "Install conntrack.",
  );
}
