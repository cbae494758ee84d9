import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";

const KIB_PER_MB = 1_000_000 / 1024;

export interface Usage {
  /** Time from the start to the exit of the process. */
  readonly ms: number;
  /** Peak resident memory, in 10^6 bytes. */
  readonly mb: number;
}

export interface MeasuredCommand {
  readonly command: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** Runs commands and measures their time and memory. */
export class CommandMeter {
  readonly #report: string;
  readonly #signal: AbortSignal;

  /** @param directory directory for a temporary file */
  constructor(directory: string, signal: AbortSignal) {
    this.#report = join(directory, "usage");
    this.#signal = signal;
  }

  /** @throws Error with the command's output if it fails */
  async measure({ command, env }: MeasuredCommand): Promise<Usage> {
    // Node.js does not report the memory of a child that has exited, but GNU time does.
    const args = ["--format=%M", `--output=${this.#report}`, ...command];
    const startedMs = performance.now();
    const child = spawn("time", args, { env, stdio: ["ignore", "pipe", "pipe"], signal: this.#signal });
    const output = Promise.all([text(child.stdout), text(child.stderr)]);
    const [code] = await once(child, "exit");
    const ms = performance.now() - startedMs;
    if (code !== 0) throw new Error(`${command.join(" ")}: exit code ${code}: ${(await output).join("")}`);
    return { ms, mb: Number(readFileSync(this.#report, "utf8")) / KIB_PER_MB };
  }
}
