import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createReadStream, existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BerthError } from "@berth/proto";
import type { Cli } from "../process/cli.js";

/** Timeout for a host that does not respond. */
const CONNECT_TIMEOUT_S = 15;
/** Timeout for the login, in which a person may have to enter a passphrase. */
const LOGIN_TIMEOUT_MS = 120_000;

/** Interval between two checks whether ssh has connected. */
const POLL_INTERVAL_MS = 50;
/** Interval of keep-alive messages. A silent connection ends after three of them. */
const KEEPALIVE_INTERVAL_S = 10;
/** Maximum length of the output that is kept. The end of the output says why a command failed. */
const MAX_KEPT_CHARACTERS = 64 * 1024;
/** Exit code of ssh for its own errors. */
const SSH_FAILED = 255;
/** Exit code of {@link AS_ROOT} for a user who cannot become root. */
const NOT_ROOT = 77;

/** Script that runs its arguments as root. Keeps the variable that names the address of the host. */
const AS_ROOT = `[ "$(id -u)" = 0 ] && exec "$@"
sudo -n true 2>/dev/null || exit ${NOT_ROOT}
exec sudo -n env SSH_CONNECTION="$SSH_CONNECTION" "$@"`;

export interface RemoteCommand {
  /** A script for a POSIX shell. */
  readonly script: string;
  /** The arguments of the script. */
  readonly args?: readonly string[];
  /** Text for its standard input. */
  readonly input?: string;
  /** A file for its standard input. */
  readonly inputFile?: string;
  readonly timeoutMs: number;
}

export interface RemoteResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A connection to a host with the user's own ssh program, with its configuration, agent and known hosts. All commands
 * share one connection, so a passphrase is entered once.
 */
export class SshConnection {
  readonly #cli: Cli;
  /** Destination as the user wrote it. */
  readonly destination: string;
  readonly #directory: string;
  /** Path of the socket through which commands use the connection. */
  readonly #socket: string;
  readonly #master: ChildProcess;

  private constructor(cli: Cli, destination: string, directory: string, master: ChildProcess) {
    this.#cli = cli;
    this.destination = destination;
    this.#directory = directory;
    this.#socket = socketIn(directory);
    this.#master = master;
  }

  /**
   * Connects. ssh asks for passphrases on the terminal, if there is one.
   *
   * @param destination "USER@HOST", a name in the configuration of ssh, or "ssh://USER@HOST:PORT"
   * @throws BerthError BERTH_HOST_UNREACHABLE, BERTH_INPUT_INVALID; the signal's reason
   */
  static async open(cli: Cli, destination: string): Promise<SshConnection> {
    if (!/^[A-Za-z0-9[]/.test(destination) || /\s/.test(destination)) {
      throw new BerthError({
        code: "BERTH_INPUT_INVALID",
        message: `invalid host ${JSON.stringify(destination)}; use USER@HOST, such as root@10.0.0.2`,
      });
    }
    const directory = await mkdtemp(join(tmpdir(), "berth-ssh-"));
    const options = [
      // Without ControlPersist=no, the user's configuration could keep the connection open after the command.
      ...["-o", "ControlMaster=yes", "-o", "ControlPersist=no", "-o", `ConnectTimeout=${CONNECT_TIMEOUT_S}`],
      ...["-o", `ServerAliveInterval=${KEEPALIVE_INTERVAL_S}`, "-o", "ServerAliveCountMax=3"],
      ...(cli.streams.isInputTty ? [] : ["-o", "BatchMode=yes"]),
    ];
    const args = [...options, "-S", socketIn(directory), "-N", "--", destination];
    const master = spawn("ssh", args, { env: cli.env, stdio: ["ignore", "ignore", "pipe"] });
    const connection = new SshConnection(cli, destination, directory, master);
    try {
      await connection.#waitUntilConnected();
      return connection;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  async #waitUntilConnected(): Promise<void> {
    const { signal, now } = this.#cli;
    const master = this.#master;
    let stderr = "";
    let failure: NodeJS.ErrnoException | undefined;
    master.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr = `${stderr}${text}`.slice(-MAX_KEPT_CHARACTERS);
    });
    master.once("error", (error) => {
      failure = error;
    });
    const deadlineMs = now() + LOGIN_TIMEOUT_MS;
    // ssh creates the socket after the login.
    while (!existsSync(this.#socket)) {
      if (failure !== undefined) throw spawnError(failure);
      if (master.exitCode !== null || master.signalCode !== null) {
        // The last output of ssh may not have been read yet.
        await sleep(POLL_INTERVAL_MS);
        throw unreachableError(this.destination, stderr);
      }
      if (now() > deadlineMs) {
        throw unreachableError(this.destination, `no login within ${LOGIN_TIMEOUT_MS / 1_000} s`);
      }
      await sleep(POLL_INTERVAL_MS, undefined, { signal });
    }
  }

  /**
   * Runs a script as root.
   *
   * @throws BerthError BERTH_HOST_UNREACHABLE, BERTH_HOST_UNSUITABLE when the user is not root, BERTH_DEADLINE; the
   * signal's reason
   */
  async run({ script, args = [], input = "", inputFile, timeoutMs }: RemoteCommand): Promise<RemoteResult> {
    const { env, signal } = this.#cli;
    const remote = ["sh", "-c", AS_ROOT, "sh", "sh", "-c", script, "sh", ...args].map(quote).join(" ");
    const options = ["-S", this.#socket, "-o", "ControlMaster=no", "-o", "BatchMode=yes", "-T"];
    const deadline = AbortSignal.timeout(timeoutMs);
    const child = spawn("ssh", [...options, "--", this.destination, remote], {
      env,
      stdio: "pipe",
      signal: AbortSignal.any([signal, deadline]),
    });
    writeInput(child, { input, inputFile });
    const output = collectOutput(child);
    const exitCode = await new Promise<number>((resolve, reject) => {
      child.once("error", (error: NodeJS.ErrnoException) => {
        if (signal.aborted) {
          reject(signal.reason);
        } else if (deadline.aborted) {
          reject(commandTimeoutError(this.destination, timeoutMs, output.stderr));
        } else {
          reject(spawnError(error));
        }
      });
      child.once("close", (code) => resolve(code ?? SSH_FAILED));
    });
    if (exitCode === SSH_FAILED) throw unreachableError(this.destination, output.stderr);
    if (exitCode === NOT_ROOT && output.stdout === "") throw notRootError(this.destination);
    return { exitCode, ...output };
  }

  /** Ends the connection. */
  async close(): Promise<void> {
    this.#master.kill();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

function socketIn(directory: string): string {
  return join(directory, "s");
}

/** Writes a text or a file to the standard input of a program. */
function writeInput(
  child: ChildProcessWithoutNullStreams,
  { input, inputFile }: { readonly input: string; readonly inputFile: string | undefined },
): void {
  // The script may end before it has read its input.
  child.stdin.on("error", () => {});
  if (inputFile === undefined) {
    child.stdin.end(input);
  } else {
    createReadStream(inputFile)
      .on("error", () => child.kill())
      .pipe(child.stdin);
  }
}

/** Returns the end of a program's output, which grows until the program ends. */
function collectOutput(child: ChildProcessWithoutNullStreams): Omit<RemoteResult, "exitCode"> {
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      output[name] = `${output[name]}${text}`.slice(-MAX_KEPT_CHARACTERS);
    });
  }
  return output;
}

/** Quotes a word for a POSIX shell. */
function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** Returns the last line of the output of a program, which usually says why it failed. */
export function lastLine(output: string): string {
  const lines = output.split("\n").map((line) => line.trim());
  return lines.findLast((line) => line !== "") ?? "";
}

/** Meaning of ssh's messages for the user. */
const ADVICE: readonly { readonly pattern: RegExp; readonly advice: (destination: string) => string }[] = [
  {
    pattern: /host key verification failed|host key .*has changed/i,
    advice: (destination) =>
      `connect once with "ssh ${destination}" and compare the key of the host, which is unknown or has changed`,
  },
  {
    pattern: /permission denied|too many authentication failures/i,
    advice: (destination) => `allow your key there, for example with "ssh-copy-id ${destination}"`,
  },
  {
    pattern: /could not resolve/i,
    advice: () => "check the name",
  },
];

function unreachableError(destination: string, stderr: string): BerthError {
  const reason = lastLine(stderr) || "ssh ended without a message";
  const known = ADVICE.find(({ pattern }) => pattern.test(stderr));
  const advice =
    known?.advice(destination) ?? `check that the host is up and that its sshd listens: ssh ${destination}`;
  return new BerthError({
    code: "BERTH_HOST_UNREACHABLE",
    message: `cannot connect to ${destination} with ssh: ${reason.replace(/^ssh: /, "").replace(/\.$/, "")}; ${advice}`,
  });
}

function spawnError(error: NodeJS.ErrnoException): BerthError {
  const reason = error.code === "ENOENT" ? "ssh is not installed on this machine" : error.message;
  return new BerthError({
    code: "BERTH_HOST_UNREACHABLE",
    message: `cannot run ssh: ${reason}; install the OpenSSH client, or use "berth host script"`,
    cause: error,
  });
}

function commandTimeoutError(destination: string, timeoutMs: number, stderr: string): BerthError {
  const last = lastLine(stderr);
  return new BerthError({
    code: "BERTH_DEADLINE",
    message: `${destination} did not finish a command within ${timeoutMs / 1_000} s${last && `: ${last}`}; repeat the command`,
  });
}

function notRootError(destination: string): BerthError {
  return new BerthError({
    code: "BERTH_HOST_UNSUITABLE",
    message: `the user of ${destination} is not root and cannot use sudo without a password; connect as root, or allow sudo`,
  });
}
