import { BALANCED_TEXT } from "./marks.js";
import { runProgram } from "./run-program.js";

/** Docker asks this chain before all of its own, and never empties it. */
const CHAIN = "DOCKER-USER";
const RULE = ["-m", "connmark", "--mark", `${BALANCED_TEXT}/${BALANCED_TEXT}`, "-j", "ACCEPT"] as const;

/**
 * Docker drops what is forwarded to containers past its own ports, and everything that it does not know: balanced
 * connections are let through first. Without Docker's chain there is nobody to let them through.
 * @returns what went wrong, for a person; undefined: nothing
 */
export async function allowForwarding(): Promise<string | undefined> {
  if ((await iptables("-C", CHAIN, ...RULE)) === undefined) return undefined;
  if ((await iptables("-n", "-L", CHAIN)) !== undefined) return undefined;
  return iptables("-I", CHAIN, "1", ...RULE);
}

/** Takes the permission back. */
export async function disallowForwarding(): Promise<void> {
  await iptables("-D", CHAIN, ...RULE);
}

async function iptables(...args: readonly string[]): Promise<string | undefined> {
  const result = await runProgram("iptables", { args: ["-w", "2", ...args] });
  return result.kind === "failed" ? result.reason : undefined;
}
