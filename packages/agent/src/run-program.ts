import { execFile } from "node:child_process";

/** Every program asked here answers within milliseconds; one that hangs says enough. */
const TIMEOUT_MS = 5_000;
/** Listings of a host with thousands of devices. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

export type ProgramResult =
  | { readonly kind: "done"; readonly stdout: string }
  | { readonly kind: "missing" }
  /** It ran and failed: the line in which it says why. */
  | { readonly kind: "failed"; readonly reason: string };

export interface ProgramCall {
  readonly args: readonly string[];
  /** For its standard input. */
  readonly input?: string;
  readonly signal: AbortSignal;
}

export type RunProgram = typeof runProgram;

/** Runs a program of the host and never rejects but when the signal fires. */
export function runProgram(
  program: string,
  { args, input = "", signal }: ProgramCall,
): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
    const options = { timeout: TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES, signal };
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) resolve({ kind: "done", stdout });
      else if (signal.aborted) reject(signal.reason);
      else if (error.code === "ENOENT") resolve({ kind: "missing" });
      else resolve({ kind: "failed", reason: reasonIn(stderr) || reasonIn(stdout) || error.message });
    });
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
  });
}

/** Programs quote their input after what they say of it: the first line that speaks of an error counts. */
function reasonIn(output: string): string {
  const lines = output.trim().split("\n");
  return lines.find((line) => /error/i.test(line)) ?? lines.at(-1) ?? "";
}
