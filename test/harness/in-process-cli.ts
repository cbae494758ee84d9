import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { LabError } from "../../deploy/lab/lab-error.js";
import type { JoinAgentOptions } from "../../deploy/lab/lab-options.js";
import type { RunOptions, RunResult } from "../../deploy/lab/run.js";
import { scaleTimeout } from "../../deploy/lab/wait-until.js";
import { joinHost } from "../../packages/agent/dist/join/join-host.js";
import { run } from "../../packages/cli/dist/main.js";
import { type Cli, InterruptedError, type StandardStreams } from "../../packages/cli/dist/process/cli.js";

/** Default timeout of a command, the same as for a separate process. */
const DEFAULT_TIMEOUT_MS = 60_000;
/** Width of output that is not a terminal, in columns. */
const COLUMNS = 80;

/**
 * Runs a command of the compiled `berth` in this process, with its own standard streams and environment. A separate
 * process would take 0.4 s of CPU time to start, which is most of the cost of a command.
 *
 * @throws LabError LAB_COMMAND_FAILED at the deadline.
 * @throws the signal's reason if aborted.
 */
export async function runBerthInProcess(
  args: readonly string[],
  { env = process.env, input = "", timeoutMs = DEFAULT_TIMEOUT_MS, signal }: RunOptions = {},
): Promise<RunResult> {
  const deadline = AbortSignal.timeout(scaleTimeout(timeoutMs));
  const ended = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
  const interrupt = new AbortController();
  const output = { stdout: "", stderr: "" };
  const failed = new Promise<never>((_, reject) => {
    ended.addEventListener("abort", () => {
      interrupt.abort(new InterruptedError(""));
      reject(signal?.aborted ? signal.reason : timeoutError(args, scaleTimeout(timeoutMs), output));
    });
  });
  const cli = createCli({ env, input, signal: interrupt.signal, output });
  const code = await Promise.race([run(args, cli), failed]);
  return { code, ...output };
}

/** Joins a host from this process with the compiled code of `berth agent join`. See {@link runBerthInProcess}. */
export async function joinAgentInProcess(
  { address, dataDir, hostname, token }: JoinAgentOptions,
  signal = AbortSignal.timeout(scaleTimeout(DEFAULT_TIMEOUT_MS)),
): Promise<void> {
  const readToken = async (): Promise<string> => token;
  await joinHost({ address, dataDir, hostname, advertise: undefined, force: false, readToken }, signal);
}

interface CliInput {
  readonly env: Cli["env"];
  readonly input: string;
  readonly signal: AbortSignal;
  /** Collects what the command prints. */
  readonly output: { stdout: string; stderr: string };
}

function createCli({ env, input, signal, output }: CliInput): Cli {
  const print = (stream: keyof typeof output, text: string): void => {
    output[stream] += text;
  };
  const terminal = (stream: keyof typeof output): Cli["stdout"] => ({
    write: (text) => print(stream, text),
    writeRaw: (text) => print(stream, text),
    isTty: false,
    columns: COLUMNS,
  });
  return {
    stdout: terminal("stdout"),
    stderr: terminal("stderr"),
    env,
    cwd: process.cwd(),
    homeDirectory: homedir(),
    serverSocket: "/run/berth/server.sock",
    readSecret: async ({ file }) => (file === "-" ? input : await readFile(file, "utf8")).trim(),
    readStdin: async () => Buffer.from(input),
    streams: { ...NO_TERMINAL, ...byteStreams(input, print) },
    signal,
    now: Date.now,
  };
}

const NO_TERMINAL: Pick<StandardStreams, "isInputTty" | "setRawMode" | "size" | "onResize" | "onSignal"> = {
  isInputTty: false,
  setRawMode: () => {},
  size: () => undefined,
  onResize: () => () => {},
  onSignal: () => () => {},
};

/** Returns streams that exchange bytes. A write may end within a character, so the output is decoded incrementally. */
function byteStreams(
  input: string,
  print: (stream: "stdout" | "stderr", text: string) => void,
): Pick<StandardStreams, "input" | "write"> {
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  return {
    input: async function* () {
      yield Buffer.from(input);
    },
    write: async (stream, bytes) => print(stream, decoders[stream].decode(bytes, { stream: true })),
  };
}

function timeoutError(
  args: readonly string[],
  timeoutMs: number,
  { stdout, stderr }: { readonly stdout: string; readonly stderr: string },
): LabError {
  const lastLines = `${stdout}${stderr}`.trim().split("\n").slice(-10).join("\n");
  const command = `berth ${args.join(" ")}`;
  return new LabError(
    "LAB_COMMAND_FAILED",
    `${command}: timed out after ${timeoutMs} ms; output:\n${lastLines}`,
  );
}
