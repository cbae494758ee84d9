import { type ExecFileException, execFile } from "node:child_process";
import { registryAddress } from "@berth/proto";
import { type CredentialEntry, parseHelperOutput } from "./docker-config.js";

/**
 * Timeout of a helper. Some helpers ask the user to unlock a keychain, others request a token from a cloud provider.
 */
const TIMEOUT_MS = 60_000;

/** Maximum size of a helper's output. */
const MAX_OUTPUT_BYTES = 256 * 1_024;
/** Maximum length of a helper's own message in an error. */
const MAX_MESSAGE_LENGTH = 200;
/** Pattern of the message that Docker's helpers print when they have no credentials for the registry. */
const NOT_FOUND = /credentials not found/i;

export interface HelperCall {
  /** Name of the helper, which is a part of the program's name. */
  readonly name: string;
  readonly server: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/**
 * Asks the program `docker-credential-NAME` for the credentials of a registry.
 *
 * @throws the signal's reason
 */
export function askCredentialHelper({ name, server, env, signal }: HelperCall): Promise<CredentialEntry> {
  const program = `docker-credential-${name}`;
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      ["get"],
      { env: { ...env }, timeout: TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES, signal, killSignal: "SIGKILL" },
      (error, stdout) => {
        if (signal.aborted) {
          reject(signal.reason);
        } else if (error === null) {
          resolve(parseHelperOutput(stdout, server));
        } else {
          resolve(failure(program, error, stdout));
        }
      },
    );
    // A program that exits without reading its input is reported by its exit code.
    child.stdin?.on("error", () => {});
    child.stdin?.end(registryAddress(server));
  });
}

/** Returns the result of a failed helper, which prints its message on standard output. */
function failure(program: string, error: ExecFileException, stdout: string): CredentialEntry {
  if (NOT_FOUND.test(stdout)) return { kind: "none" };
  if (error.code === "ENOENT") return { kind: "invalid", reason: `${program} is not installed` };
  if (error.code === "ERR_CHILD_PROCESS_STDIO_MAXBUFFER") {
    return { kind: "invalid", reason: `${program} printed more than ${MAX_OUTPUT_BYTES} bytes` };
  }
  if (error.killed) {
    return { kind: "invalid", reason: `${program} did not exit within ${TIMEOUT_MS / 1_000} s` };
  }
  // JSON may contain the secret.
  const text = stdout.includes("{") ? "" : (stdout.trim().split("\n")[0] ?? "");
  const reason = text.slice(0, MAX_MESSAGE_LENGTH) || `exit code ${error.code ?? "unknown"}`;
  return { kind: "invalid", reason: `${program} failed: ${reason}` };
}
