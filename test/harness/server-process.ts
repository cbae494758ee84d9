import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { scaleTimeout } from "../../deploy/lab/wait-until.js";
import { temporaryDirectory } from "./temporary-directory.js";

/** Even on a busy machine, a server starts its etcd and its listeners within a few seconds. */
const START_TIMEOUT_MS = scaleTimeout(30_000);

/** Options of setpriv that kill the server if the test process is killed. */
const KILL_WITH_PARENT = ["--pdeathsig", "KILL"];

const PROGRAM = fileURLToPath(new URL("./server-process.mjs", import.meta.url));

export interface ServerProcess {
  readonly address: string;
  /** Address of /healthz and /metrics. */
  readonly httpAddress: string;
  /** Path of the server's Unix socket. */
  readonly socket: string;
  readonly process: ChildProcess;
  /** Sends SIGKILL and waits for the exit. */
  kill(): Promise<void>;
}

/**
 * Starts `berth server` on free ports, with its own socket and data directory, and waits until it is up. The arguments
 * override these options.
 *
 * @throws Error with the server's last log line if it exits, or if it is not up in time and was killed
 */
export async function startServerProcess(args: readonly string[]): Promise<ServerProcess> {
  const ports = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
  const directory = temporaryDirectory();
  const paths = ["--socket", join(directory, "server.sock"), "--data-dir", join(directory, "data")];
  const socketOption = args.lastIndexOf("--socket");
  const socket = socketOption < 0 ? join(directory, "server.sock") : (args[socketOption + 1] ?? "");
  const command = [process.execPath, PROGRAM, ...ports, ...paths, ...args];
  const child = spawn("setpriv", [...KILL_WITH_PARENT, ...command], { stdio: ["ignore", "ignore", "pipe"] });
  child.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  };
  const onExit = (): void => void child.kill("SIGKILL");
  process.once("exit", onExit);
  child.once("exit", () => process.off("exit", onExit));
  const deadline = setTimeout(() => child.kill("SIGKILL"), START_TIMEOUT_MS);
  let lastLine = "";
  for await (const line of createInterface({ input: child.stderr })) {
    lastLine = line;
    const addresses = parseAddresses(line);
    if (addresses === undefined) continue;
    clearTimeout(deadline);
    child.stderr.resume();
    return { ...addresses, socket, process: child, kill };
  }
  clearTimeout(deadline);
  throw new Error(`the server exited while starting: ${lastLine}`);
}

function parseAddresses(line: string): Pick<ServerProcess, "address" | "httpAddress"> | undefined {
  try {
    const { msg, advertise, http } = JSON.parse(line);
    return msg === "server started" ? { address: advertise, httpAddress: http } : undefined;
  } catch {
    return undefined;
  }
}
