import { spawnSync } from "node:child_process";
import { detectKernelSupport } from "../../../packages/agent/src/networks/host-networking.js";
import type { RunProgram } from "../../../packages/agent/src/runtime/run-program.js";

/** The WireGuard implementation that the hosts of a test use. */
export type Encryption =
  | { readonly kind: "kernel" }
  /** wireguard-go, for kernels without WireGuard: the same protocol and configuration. */
  | { readonly kind: "userspace" }
  | { readonly kind: "missing"; readonly reason: string };

const DETECT_TIMEOUT_MS = 60_000;
const NO_WIREGUARD = "the kernel has no wireguard";

/** Returns the WireGuard implementation that is available on this machine. */
export async function findEncryption(): Promise<Encryption> {
  if (process.getuid?.() !== 0) return { kind: "missing", reason: "needs root" };
  const { overlayProblem, encryptionProblem } = await detectKernelSupport(
    AbortSignal.timeout(DETECT_TIMEOUT_MS),
  );
  const missing = ["tcpdump", "wg"].find((program) => spawnSync(program, ["--version"]).error);
  if (overlayProblem || missing)
    return { kind: "missing", reason: overlayProblem || `${missing} is not installed` };
  if (encryptionProblem === "") return { kind: "kernel" };
  if (encryptionProblem !== NO_WIREGUARD) return { kind: "missing", reason: encryptionProblem };
  if (spawnSync("wireguard-go", ["--version"]).error === undefined) return { kind: "userspace" };
  return { kind: "missing", reason: `${NO_WIREGUARD}, and wireguard-go is not installed` };
}

/** Wraps `run` so that WireGuard devices are created by wireguard-go instead of the kernel. */
export function withUserspaceWireguard(run: RunProgram): RunProgram {
  return (program, call) => {
    const [link, add, device = "", ...rest] = call.args;
    const isDevice = [program, link, add, ...rest].join(" ") === "ip link add type wireguard";
    return isDevice ? run("wireguard-go", { ...call, args: [device] }) : run(program, call);
  };
}
