import { type ExecFileException, execFile } from "node:child_process";
import { assertNever } from "@berth/proto";

/** Default timeout of a program. Most finish within milliseconds. */
const TIMEOUT_MS = 5_000;
/** Maximum size of a program's output. Enough for a listing of thousands of network devices. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
/** Maximum length of a reason. nft may quote a whole table. */
const MAX_REASON_LENGTH = 500;

export type ProgramResult =
  | { readonly kind: "done"; readonly stdout: string }
  | { readonly kind: "missing" }
  /**
   * The program failed. `reason` is the line of its output that says why. The exit code and the output are undefined
   * unless it exited.
   */
  | {
      readonly kind: "failed";
      readonly reason: string;
      readonly exitCode?: number;
      readonly stdout?: string;
      readonly stderr?: string;
    };

export interface ProgramCall {
  readonly args: readonly string[];
  /** Text for the standard input. Default: none. */
  readonly input?: string;
  /** Timeout of the program. Default: 5 s. */
  readonly timeoutMs?: number;
  readonly signal: AbortSignal;
}

export type RunProgram = typeof runProgram;

/** Runs a program of the host, such as `nft`, and returns its output. Rejects only when the signal is aborted. */
export function runProgram(
  program: string,
  { args, input = "", timeoutMs = TIMEOUT_MS, signal }: ProgramCall,
): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
    const killSignal = "SIGKILL";
    const options = { timeout: timeoutMs, killSignal, maxBuffer: MAX_OUTPUT_BYTES, signal } as const;
    try {
      const child = execFile(program, args, options, (error, stdout, stderr) => {
        if (error === null) {
          resolve({ kind: "done", stdout });
        } else if (signal.aborted) {
          reject(signal.reason);
        } else if (error.code === "ENOENT") {
          resolve({ kind: "missing" });
        } else if (error.killed === true && error.signal === killSignal) {
          resolve({ kind: "failed", reason: `${program} did not finish within ${timeoutMs / 1_000} s` });
        } else {
          resolve(exitFailure(error, stdout, stderr));
        }
      });
      // A program may exit without reading its input.
      child.stdin?.on("error", () => {});
      child.stdin?.end(input);
    } catch (error) {
      // execFile throws when there is no memory for the process; other failures reach the callback.
      resolve({ kind: "failed", reason: error instanceof Error ? error.message : String(error) });
    }
  });
}

/** Returns the result of a program that exited with an error or was killed. */
function exitFailure(error: ExecFileException, stdout: string, stderr: string): ProgramResult {
  const reason = reasonIn(stderr) || reasonIn(stdout) || error.message;
  if (typeof error.code !== "number") return { kind: "failed", reason };
  return { kind: "failed", reason, exitCode: error.code, stdout, stderr };
}

/** Returns why a program failed, or undefined if it succeeded. */
export function failureOf(program: string, result: ProgramResult): string | undefined {
  switch (result.kind) {
    case "done":
      return undefined;
    case "missing":
      return `${program} is not installed`;
    case "failed":
      return result.reason;
    default:
      return assertNever(result);
  }
}

/** Returns the first line that mentions an error. Programs quote their input after that line. */
function reasonIn(output: string): string {
  const lines = output.trim().split("\n");
  const message = lines.find((line) => /error|denied|not permitted/i.test(line)) ?? lines.at(-1) ?? "";
  return message.slice(0, MAX_REASON_LENGTH);
}
