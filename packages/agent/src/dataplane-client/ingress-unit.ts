import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { BerthError } from "@berth/proto";
import { failureOf, type RunProgram, runProgram } from "../runtime/run-program.js";

/**
 * Path of the unit's program: a script that the agent writes, because the agent selects the user, mode and release. Only
 * root can write it.
 */
const UNIT_SCRIPT = "/run/berth/ingress.sh";
const SCRIPT_MODE = 0o700;
/** Timeout of systemd commands. The start of a unit takes about 100 ms, and much longer on an overloaded host. */
const CONTROL_TIMEOUT_MS = 10_000;

export interface IngressUnitOptions {
  /** Name of the unit, such as `berth-ingress.service`. */
  readonly name: string;
  /** @default the path that berth's unit runs */
  readonly script?: string;
  readonly run?: RunProgram;
}

/** The systemd unit that runs the ingress process, so that the process outlives the agent and is supervised. */
export class IngressUnit {
  readonly name: string;
  readonly #script: string;
  readonly #run: RunProgram;

  constructor({ name, script = UNIT_SCRIPT, run = runProgram }: IngressUnitOptions) {
    this.name = name;
    this.#script = script;
    this.#run = run;
  }

  /** Sets what the unit runs at its next start, in the given directory. */
  setCommand(directory: string, command: readonly string[]): void {
    mkdirSync(dirname(this.#script), { recursive: true });
    // systemd can start the unit at any moment, so the script is replaced as a whole.
    const draft = `${this.#script}.new`;
    const lines = ["#!/bin/sh", `cd ${quote(directory)} && exec ${command.map(quote).join(" ")}`];
    writeFileSync(draft, `${lines.join("\n")}\n`, { mode: SCRIPT_MODE });
    renameSync(draft, this.#script);
  }

  /**
   * Starts the unit unless it is active. Does not wait for its process.
   *
   * @throws BerthError BERTH_INGRESS_FAILED
   */
  start(signal: AbortSignal): Promise<void> {
    return this.#control(["--no-block", "start"], signal);
  }

  /**
   * Restarts the process of the unit. Resolves when the new process is ready.
   *
   * @throws BerthError BERTH_INGRESS_FAILED
   */
  restart(signal: AbortSignal): Promise<void> {
    return this.#control(["restart"], signal);
  }

  async #control(command: readonly string[], signal: AbortSignal): Promise<void> {
    const result = await this.#run("systemctl", {
      args: [...command, this.name],
      timeoutMs: CONTROL_TIMEOUT_MS,
      signal,
    });
    const reason = failureOf("systemctl", result);
    if (reason === undefined) return;
    throw new BerthError({
      code: "BERTH_INGRESS_FAILED",
      message: `cannot ${command.at(-1)} the unit ${this.name} of the ingress process: ${reason}`,
    });
  }
}

/** Quotes an argument for a shell. */
function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
