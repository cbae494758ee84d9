import { spawnSync } from "node:child_process";
import { detectKernelSupport } from "../../../packages/agent/src/networks/host-networking.js";
import type { RunProgram } from "../../../packages/agent/src/runtime/run-program.js";

/** By what a test's hosts can encrypt. */
export type Encryption =
  | { readonly kind: "kernel" }
  /** WireGuard's own program for kernels without: the same protocol, configured in the same way. */
  | { readonly kind: "program" }
  | { readonly kind: "missing"; readonly reason: string };

const EXAMINE_TIMEOUT_MS = 60_000;
const NO_WIREGUARD = "the kernel has no wireguard";

/** What encrypted networks can be tried with on this machine. */
export async function findEncryption(): Promise<Encryption> {
  if (process.getuid?.() !== 0) return { kind: "missing", reason: "only root can try it" };
  const { overlayProblem, encryptionProblem } = await detectKernelSupport(
    AbortSignal.timeout(EXAMINE_TIMEOUT_MS),
  );
  const absent = ["tcpdump", "wg"].find((program) => spawnSync(program, ["--version"]).error);
  if (overlayProblem || absent)
    return { kind: "missing", reason: overlayProblem || `${absent} is not installed` };
  if (encryptionProblem === "") return { kind: "kernel" };
  if (encryptionProblem !== NO_WIREGUARD) return { kind: "missing", reason: encryptionProblem };
  if (spawnSync("wireguard-go", ["--version"]).error === undefined) return { kind: "program" };
  return { kind: "missing", reason: `${NO_WIREGUARD}, and wireguard-go is not installed` };
}

/** Runs programs, and WireGuard's own one where the kernel is asked for such a device. */
export function withUserspaceWireguard(run: RunProgram): RunProgram {
  return (program, call) => {
    const [link, add, device = "", ...rest] = call.args;
    const isDevice = [program, link, add, ...rest].join(" ") === "ip link add type wireguard";
    return isDevice ? run("wireguard-go", { ...call, args: [device] }) : run(program, call);
  };
}
