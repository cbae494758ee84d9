import { runProgram } from "../../runtime/run-program.js";
import { runNft } from "../kernel/nft.js";
import { addressChanges, presentVips } from "./vip-addresses.js";
import { DELETE_VIP_TABLES } from "./vip-ruleset.js";

/**
 * Takes away the virtual IPs that another process has left, where this one balances none: its rules would lead to the
 * tasks of its time for ever. Does what it can; rejects when the signal fires.
 */
export async function removeVips(signal: AbortSignal): Promise<void> {
  const shown = await runProgram("ip", { args: ["-json", "-4", "address", "show"], signal });
  const present = shown.kind === "done" ? presentVips(JSON.parse(shown.stdout || "[]")) : new Set<string>();
  const lines = addressChanges(present, new Map());
  // The addresses first: one without rules would lead to programs of this host.
  if (lines.length > 0) {
    await runProgram("ip", { args: ["-force", "-batch", "-"], input: `${lines.join("\n")}\n`, signal });
  }
  await runNft(DELETE_VIP_TABLES, { signal });
}
