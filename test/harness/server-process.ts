import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("./server-process.mjs", import.meta.url));

export interface ServerProcess {
  readonly address: string;
  readonly process: ChildProcess;
  /** Sends SIGKILL and waits for the end. */
  kill(): Promise<void>;
}

/** Starts `berth server` on free ports and waits until it is up. Throws with its last log line if it exits instead. */
export async function startServerProcess(args: readonly string[]): Promise<ServerProcess> {
  const ports = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
  const child = spawn(process.execPath, [PROGRAM, ...ports, ...args], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  };
  const onExit = (): void => void child.kill("SIGKILL");
  process.once("exit", onExit);
  child.once("exit", () => process.off("exit", onExit));
  let lastLine = "";
  for await (const line of createInterface({ input: child.stderr })) {
    lastLine = line;
    const address = parseServerAddress(line);
    if (address === undefined) continue;
    child.stderr.resume();
    return { address, process: child, kill };
  }
  throw new Error(`the server exited while starting: ${lastLine}`);
}

function parseServerAddress(line: string): string | undefined {
  try {
    const { msg, advertise } = JSON.parse(line);
    return msg === "server started" ? advertise : undefined;
  } catch {
    return undefined;
  }
}
