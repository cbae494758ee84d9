import { failureOf, type RunProgram, runProgram } from "../../runtime/run-program.js";

/** A full table of thousands of services takes a second or two, on a busy host several. */
const TIMEOUT_MS = 10_000;

export interface NftOptions {
  readonly signal: AbortSignal;
  /** Only asks whether the kernel would take it. */
  readonly isTrial?: boolean;
  readonly run?: RunProgram;
}

/** Gives the kernel a script, which it takes as a whole or not at all. @returns why it failed; undefined: it did not */
export async function runNft(
  script: string,
  { signal, isTrial = false, run = runProgram }: NftOptions,
): Promise<string | undefined> {
  const args = [...(isTrial ? ["--check"] : []), "--file", "-"];
  return failureOf("nft", await run("nft", { args, input: script, timeoutMs: TIMEOUT_MS, signal }));
}
