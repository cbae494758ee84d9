import { VXLAN_PORT } from "../core/networks/devices.js";
import { type ProgramResult, type RunProgram, runProgram } from "../runtime/run-program.js";

/** What of networks over hosts the kernel of this host can do. */
export interface OverlayKernel {
  /** Why it cannot have them; "": it can. */
  readonly refusal: string;
  /** Why it cannot have encrypted ones; "": it can. */
  readonly encryptionRefusal: string;
}

const TUNNEL = ["ip", "link", "add", "bt", "type", "vxlan", "id", "1", "dstport", String(VXLAN_PORT)];
const BRIDGE = ["ip", "link", "add", "bt", "type", "bridge"];
const WIREGUARD = ["ip", "link", "add", "bt", "type", "wireguard"];

/** Tries what networks need, each in a network namespace of its own, which is gone afterwards. */
export async function examineKernel(
  signal: AbortSignal,
  run: RunProgram = runProgram,
): Promise<OverlayKernel> {
  const attempt = async (command: readonly string[]): Promise<string> => {
    return problemOf(await run("unshare", { args: ["--net", ...command], signal }), command);
  };
  const [tunnel, bridge, wireguard] = await Promise.all([TUNNEL, BRIDGE, WIREGUARD].map(attempt));
  const { kind } = await run("wg", { args: ["--version"], signal });
  const tool = kind === "missing" ? "wg is not installed (wireguard-tools)" : "";
  return {
    refusal: tunnel || bridge || "",
    encryptionRefusal: wireguard || tool,
  };
}

function problemOf(result: ProgramResult, command: readonly string[]): string {
  switch (result.kind) {
    case "done":
      return "";
    case "missing":
      return "unshare is not installed (util-linux)";
    case "failed": {
      const { reason } = result;
      if (/failed to execute/.test(reason)) return `${command[0]} is not installed (iproute2)`;
      if (/Unknown device type/.test(reason))
        return `the kernel has no ${command[command.indexOf("type") + 1]}`;
      return /not permitted/.test(reason) ? `the agent may not make network devices: ${reason}` : reason;
    }
  }
}
