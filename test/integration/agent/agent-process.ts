import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pino } from "pino";
import { BERTH_PATH, INGRESS_PATH } from "../../../deploy/lab/berth-commands.js";
import { scaleTimeout } from "../../../deploy/lab/wait-until.js";

/** Even on a busy machine, an ingress process starts and stops within this time. */
const STOP_TIMEOUT_MS = scaleTimeout(30_000);

/** Runs the agent, and exits when the test process is gone: a killed test process cannot stop the agent. */
const RUN_AGENT = `const parent = process.ppid;
setInterval(() => { if (process.ppid !== parent) process.exit(1); }, 1000).unref();
process.argv.splice(1, 0, "berth", "agent");
await import(${JSON.stringify(BERTH_PATH)});`;

export interface AgentProcessOptions {
  readonly servers: readonly string[];
  readonly dockerSocket: string;
  readonly dataDir: string;
  readonly args?: readonly string[];
  /** @default `agent.log` in the data directory */
  readonly logFile?: string;
}

/** The built agent in a process of its own, which a test can kill at any time. */
export class AgentProcess {
  readonly #child: ChildProcess;
  readonly logFile: string;
  readonly #ingressDir: string;
  /** Resolves with the exit code, or null if a signal ended the process. */
  readonly exited: Promise<number | null>;

  constructor({ servers, dockerSocket, dataDir, args = [], logFile }: AgentProcessOptions) {
    this.#ingressDir = join(dataDir, "ingress");
    this.logFile = logFile ?? join(dataDir, "agent.log");
    const flags = [
      ...(servers.length === 0 ? [] : ["--server", servers.join(",")]),
      "--docker-socket",
      dockerSocket,
      "--data-dir",
      dataDir,
      // The kernel path would change the nftables ruleset of the machine that runs the tests.
      "--ingress",
      "userspace",
      ...args,
    ];
    this.#child = spawn(process.execPath, ["--input-type=module", "--eval", RUN_AGENT, "--", ...flags], {
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

  /** Sends a signal and waits for the exit. Returns the exit code, or null if the signal ended the process. */
  async kill(signal: NodeJS.Signals): Promise<number | null> {
    this.#child.kill(signal);
    return this.exited;
  }

  /** Kills the agent, and stops the ingress process, which outlives it. */
  async stopWithIngress(): Promise<void> {
    await this.kill("SIGKILL");
    const { openIngress } = await import("../../../packages/agent/src/dataplane-client/ingress-client.js");
    const signal = AbortSignal.timeout(STOP_TIMEOUT_MS);
    const ingress = await openIngress({
      dataDir: this.#ingressDir,
      logger: pino({ level: "silent" }),
      signal,
      entryPath: INGRESS_PATH,
    });
    await ingress.stop(signal);
  }
}
