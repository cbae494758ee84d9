import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { runOrThrow } from "../../../deploy/lab/run.js";
import { temporaryFolder } from "../../harness/temporary-folder.js";

/** It does not outlive the test, however that ends. */
const TIED = ["setpriv", "--pdeathsig", "KILL"];

/**
 * What tcpdump has seen on a device of a network namespace. It is told of packets a little later than they go by: before
 * anybody says that it has not seen something, it must have seen what was sent after that.
 */
export class Capture {
  readonly #file: string;
  readonly #program: ChildProcess;
  readonly #folder: string;

  private constructor(folder: string, program: ChildProcess, file: string) {
    this.#folder = folder;
    this.#program = program;
    this.#file = file;
  }

  /** Returns when it sees everything. `enter`: the words that run a program in the namespace. */
  static async start(enter: readonly string[], device: string): Promise<Capture> {
    const folder = temporaryFolder();
    const file = join(folder, "packets");
    const words = [
      "tcpdump",
      "-i",
      device,
      "-n",
      "-U",
      "--immediate-mode",
      "-s",
      "0",
      "-Z",
      "root",
      "-w",
      file,
    ];
    const [command = "", ...args] = [...TIED, ...enter, ...words];
    const program = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] });
    const capture = new Capture(folder, program, file);
    try {
      await hears(program, "listening on");
      return capture;
    } catch (error) {
      await capture.close();
      throw error;
    }
  }

  /** How many packets of those seen until now a filter of tcpdump's takes. */
  async count(filter: string): Promise<number> {
    const listed = await runOrThrow(["tcpdump", "-n", "-r", this.#file, filter]);
    return listed.split("\n").filter((line) => line !== "").length;
  }

  /** Whether these bytes went by, as they are. */
  async contains(text: string): Promise<boolean> {
    return (await readFile(this.#file)).includes(text);
  }

  async close(): Promise<void> {
    if (this.#program.exitCode === null && this.#program.signalCode === null) {
      this.#program.kill("SIGINT");
      await once(this.#program, "exit");
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Waits until a program has said something, and goes on reading: one that nobody listens to is ended by the kernel. */
function hears(program: ChildProcess, text: string): Promise<void> {
  let said = "";
  return new Promise((resolve, reject) => {
    program.stderr?.on("data", (chunk) => {
      said += String(chunk);
      if (said.includes(text)) resolve();
    });
    program.once("error", reject);
    program.once("exit", () => reject(new Error(`tcpdump ended: ${said}`)));
  });
}
