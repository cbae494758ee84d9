import { spawn } from "node:child_process";

export type ProgramResult =
  | { readonly kind: "done"; readonly stdout: string }
  /** The program is not there, was refused, did not end in time, or said why. */
  | { readonly kind: "failed"; readonly reason: string };

export interface ProgramCall {
  readonly args: readonly string[];
  /** For its standard input. */
  readonly input?: string;
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 10_000;
/** What is shown of a program's complaints. */
const MAX_REASON = 500;

/** Runs a program of the host to its end. Never rejects. */
export function runProgram(
  program: string,
  { args, input = "", timeoutMs = TIMEOUT_MS }: ProgramCall,
): Promise<ProgramResult> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: "pipe" });
    const output: Buffer[] = [];
    const complaints: Buffer[] = [];
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      resolve({ kind: "failed", reason: `${program} did not end within ${timeoutMs / 1_000} s` });
    }, timeoutMs);
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => complaints.push(chunk));
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    child.on("error", (error) => {
      clearTimeout(timer);
      const isMissing = "code" in error && error.code === "ENOENT";
      resolve({ kind: "failed", reason: isMissing ? `${program} is not installed` : error.message });
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (code === 0) resolve({ kind: "done", stdout: Buffer.concat(output).toString() });
      else
        resolve({
          kind: "failed",
          reason: reasonOf(Buffer.concat(complaints)) || `${program}: ${signal ?? code}`,
        });
    });
  });
}

/** Programs quote their input after what they say of it. */
function reasonOf(complaints: Buffer): string {
  const lines = complaints.toString().trim().split("\n");
  return (lines.find((line) => /error|denied|not permitted/i.test(line)) ?? lines[0] ?? "").slice(
    0,
    MAX_REASON,
  );
}
