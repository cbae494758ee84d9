import { execFile } from "node:child_process";

/** Almost every program asked here answers within milliseconds; one that hangs says enough. */
const TIMEOUT_MS = 5_000;
/** Listings of a host with thousands of devices. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
/** What is shown of a program's complaints: nft may quote a whole table. */
const MAX_REASON = 500;

export type ProgramResult =
  | { readonly kind: "done"; readonly stdout: string }
  | { readonly kind: "missing" }
  /** It ran and failed: the line in which it says why. */
  | { readonly kind: "failed"; readonly reason: string };

export interface ProgramCall {
  readonly args: readonly string[];
  /** For its standard input. */
  readonly input?: string;
  /** For one that has more to do; by default 5 s. */
  readonly timeoutMs?: number;
  readonly signal: AbortSignal;
}

export type RunProgram = typeof runProgram;

/** Runs a program of the host and never rejects but when the signal fires. */
export function runProgram(
  program: string,
  { args, input = "", timeoutMs = TIMEOUT_MS, signal }: ProgramCall,
): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
    const killSignal = "SIGKILL";
    const options = { timeout: timeoutMs, killSignal, maxBuffer: MAX_OUTPUT_BYTES, signal } as const;
    try {
      const child = execFile(program, args, options, (error, stdout, stderr) => {
        if (error === null) resolve({ kind: "done", stdout });
        else if (signal.aborted) reject(signal.reason);
        else if (error.code === "ENOENT") resolve({ kind: "missing" });
        else if (error.killed === true && error.signal === killSignal)
          resolve({ kind: "failed", reason: `${program} did not end within ${timeoutMs / 1_000} s` });
        else resolve({ kind: "failed", reason: reasonIn(stderr) || reasonIn(stdout) || error.message });
      });
      child.stdin?.on("error", () => {});
      child.stdin?.end(input);
    } catch (error) {
      // Want of memory for another process is thrown, unlike other failures.
      resolve({ kind: "failed", reason: error instanceof Error ? error.message : String(error) });
    }
  });
}

/** Why a program did not do what it was asked, for a person; undefined: it did. */
export function failureOf(program: string, result: ProgramResult): string | undefined {
  switch (result.kind) {
    case "done":
      return undefined;
    case "missing":
      return `${program} is not installed`;
    case "failed":
      return result.reason;
  }
}

/** Programs quote their input after what they say of it: the first line that speaks of an error counts. */
function reasonIn(output: string): string {
  const lines = output.trim().split("\n");
  const telling = lines.find((line) => /error|denied|not permitted/i.test(line)) ?? lines.at(-1) ?? "";
  return telling.slice(0, MAX_REASON);
}
