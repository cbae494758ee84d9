import { spawn } from "node:child_process";
import { BerthError } from "@berth/proto";
import type { Cli } from "../process/cli.js";

/** Maximum length of the kept output. The reason for a failure is at its end. */
const MAX_KEPT_CHARACTERS = 4096;
/** Maximum length of Docker's message in an error. */
const MAX_MESSAGE_LENGTH = 500;

export interface DockerRunOptions {
  /** Text for the standard input. */
  readonly input?: string;
  /** Variables in addition to the environment of the CLI. */
  readonly env?: Readonly<Record<string, string>>;
  /** Called with each chunk of output from both streams. */
  readonly onOutput?: (text: string) => void;
}

export interface DockerResult {
  readonly exitCode: number;
  /** The end of the standard output. */
  readonly stdout: string;
  /** Reason for Docker's failure: the last error on standard error, otherwise the last line. */
  readonly message: string;
}

/**
 * Runs the `docker` program, which applies the user's contexts, logins and $DOCKER_HOST, until it exits.
 *
 * @throws BerthError BERTH_ENGINE_UNAVAILABLE if Docker is not installed; the signal's reason
 */
export function runDocker(
  { env, signal }: Pick<Cli, "env" | "signal">,
  args: readonly string[],
  options: DockerRunOptions = {},
): Promise<DockerResult> {
  const { input, onOutput = () => {} } = options;
  // Without PATH, the system would search its own default path.
  if (env.PATH === undefined) return Promise.reject(dockerUnavailableError("PATH is not set"));
  return new Promise((resolve, reject) => {
    const child = spawn("docker", args, { env: { ...env, ...options.env }, stdio: "pipe", signal });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout = `${stdout}${text}`.slice(-MAX_KEPT_CHARACTERS);
      onOutput(text);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr = `${stderr}${text}`.slice(-MAX_KEPT_CHARACTERS);
      onOutput(text);
    });
    // Docker may exit before it has read its input.
    child.stdin.on("error", () => {});
    child.stdin.end(input ?? "");
    child.once("error", (error: NodeJS.ErrnoException) => {
      if (signal.aborted) {
        reject(signal.reason);
      } else {
        reject(
          error.code === "ENOENT" ? dockerUnavailableError("docker is not installed on this machine") : error,
        );
      }
    });
    child.once("close", (code) => {
      if (signal.aborted) {
        reject(signal.reason);
      } else {
        resolve({ exitCode: code ?? 1, stdout, message: errorIn(stderr) });
      }
    });
  });
}

function errorIn(output: string): string {
  const lines = output
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const line = lines.findLast((text) => /^error/i.test(text)) ?? lines.at(-1) ?? "";
  return line.slice(0, MAX_MESSAGE_LENGTH);
}

function dockerUnavailableError(reason: string): BerthError {
  return new BerthError({ code: "BERTH_ENGINE_UNAVAILABLE", message: reason });
}
