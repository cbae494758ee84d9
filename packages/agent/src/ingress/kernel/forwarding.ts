import { failureOf, runProgram } from "../../run-program.js";
import { BALANCED_TEXT } from "./marks.js";

/** Docker asks this chain before all of its own, and never empties it. */
const CHAIN = "DOCKER-USER";
const RULE = ["-m", "connmark", "--mark", `${BALANCED_TEXT}/${BALANCED_TEXT}`, "-j", "ACCEPT"] as const;

/**
 * Docker drops what is forwarded to containers past its own ports, and everything that it does not know: balanced
 * connections are let through first. Without Docker's chain there is nobody to let them through.
 * @returns what went wrong, for a person; undefined: nothing
 */
export async function allowForwarding(signal: AbortSignal): Promise<string | undefined> {
  if ((await iptables(signal, "-C", CHAIN, ...RULE)) === undefined) return undefined;
  if ((await iptables(signal, "-n", "-L", CHAIN)) !== undefined) return undefined;
  return iptables(signal, "-I", CHAIN, "1", ...RULE);
}

/** Takes the permission back. */
export async function disallowForwarding(signal: AbortSignal): Promise<void> {
  await iptables(signal, "-D", CHAIN, ...RULE);
}

async function iptables(signal: AbortSignal, ...args: readonly string[]): Promise<string | undefined> {
  return failureOf("iptables", await runProgram("iptables", { args: ["-w", "2", ...args], signal }));
}
