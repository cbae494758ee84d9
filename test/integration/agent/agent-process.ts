import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pino } from "pino";

const MAIN = new URL("../../../packages/agent/dist/main.js", import.meta.url).href;
/** Ends with its parent, also when that is killed: a test process that is gone cannot end it. */
const RUN_MAIN = `import { main } from ${JSON.stringify(MAIN)};
const parent = process.ppid;
setInterval(() => { if (process.ppid !== parent) process.exit(1); }, 1000).unref();
process.exitCode = await main(process.argv.slice(1));`;

export interface AgentProcessOptions {
  readonly servers: readonly string[];
  readonly dockerSocket: string;
  readonly dataDir: string;
  readonly args?: readonly string[];
}

/** The built agent as a process of its own, so that it can be killed at any moment. */
export class AgentProcess {
  readonly #child: ChildProcess;
  readonly logFile: string;
  readonly #ingressDir: string;
  /** The exit code; null after a signal that it did not handle. */
  readonly exited: Promise<number | null>;

  constructor({ servers, dockerSocket, dataDir, args = [] }: AgentProcessOptions) {
    this.#ingressDir = join(dataDir, "ingress");
    this.logFile = join(dataDir, "agent.log");
    const words = [
      "--server",
      servers.join(","),
      "--docker-socket",
      dockerSocket,
      "--data-dir",
      dataDir,
      // The kernel's table is the machine's, which tests only borrow.
      "--ingress",
      "userspace",
      ...args,
    ];
    this.#child = spawn(process.execPath, ["--input-type=module", "--eval", RUN_MAIN, "--", ...words], {
      stdio: ["ignore", "pipe", "pipe"],
      cwd: fileURLToPath(new URL("../../..", import.meta.url)),
    });
    const log = createWriteStream(this.logFile, { flags: "a" });
    this.#child.stdout?.pipe(log);
    this.#child.stderr?.pipe(log);
    this.exited = once(this.#child, "exit").then(([code]) => code as number | null);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Returns the exit code; null after a signal that it did not handle. */
  async kill(signal: NodeJS.Signals): Promise<number | null> {
    this.#child.kill(signal);
    return this.exited;
  }

  /** Stops the agent and the ingress process that it leaves running. */
  async stopWithIngress(): Promise<void> {
    await this.kill("SIGKILL");
    const { openIngress } = await import("../../../packages/agent/src/dataplane-client/ingress-client.js");
    const signal = AbortSignal.timeout(5_000);
    const entryPath = fileURLToPath(
      new URL("../../../packages/agent/dist/dataplane/entry.js", import.meta.url),
    );
    const ingress = await openIngress({
      dataDir: this.#ingressDir,
      logger: pino({ level: "silent" }),
      signal,
      entryPath,
    });
    await ingress.stop(signal);
  }
}
