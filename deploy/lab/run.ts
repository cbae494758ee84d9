import { execFile } from "node:child_process";
import { LabError } from "./lab-error.js";
import { scaleTimeout } from "./wait-until.js";

/** Default timeout of a command. Callers allow more time for slow commands, such as `docker save`. */
const DEFAULT_TIMEOUT_MS = 60_000;
/** Maximum output size, so that endless output does not exhaust the memory. */
const MAX_OUTPUT_BYTES = 32 * 1024 * 1024;

export interface RunOptions {
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface RunResult {
  /** Exit code, or 128 if a signal ended the program. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program and returns its exit code and output. A non-zero exit code does not throw.
 *
 * @throws LabError LAB_COMMAND_FAILED if the program cannot start, times out or prints too much.
 * @throws the signal's reason if aborted.
 */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [program = "", ...args] = argv;
  const { env, signal } = options;
  const timeoutMs = scaleTimeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      args,
      {
        maxBuffer: MAX_OUTPUT_BYTES,
        timeout: timeoutMs,
        killSignal: "SIGKILL",
        env,
        signal,
      },
      (error, stdout, stderr) => {
        if (signal?.aborted) {
          reject(signal.reason);
        } else if (!error) {
          resolve({ code: 0, stdout, stderr });
        } else if (typeof error.code === "number") {
          resolve({ code: error.code, stdout, stderr });
        } else if (error.signal && !error.killed) {
          resolve({ code: 128, stdout, stderr });
        } else {
          reject(commandError(argv, error.killed ? timeoutReason(timeoutMs, stdout, stderr) : error.message));
        }
      },
    );
    // A program may exit without reading its input: ignore EPIPE.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(options.input ?? "");
  });
}

/** Runs a program that must succeed and returns its stdout. Otherwise, throws an error with its stderr. */
export async function runOrThrow(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await run(argv, options);
  if (result.code === 0) return result.stdout;
  throw commandError(argv, `exit ${result.code}: ${(result.stderr || result.stdout).trim()}`);
}

/** Returns the reason for a timeout, with the last lines of output: they show what the program was waiting for. */
function timeoutReason(timeoutMs: number, stdout: string, stderr: string): string {
  const lastLines = `${stdout}${stderr}`.trim().split("\n").slice(-10).join("\n");
  return `timed out after ${timeoutMs} ms${lastLines && `; last output:\n${lastLines}`}`;
}

function commandError(argv: readonly string[], reason: string): LabError {
  return new LabError("LAB_COMMAND_FAILED", `${argv.join(" ")}: ${reason}`);
}
