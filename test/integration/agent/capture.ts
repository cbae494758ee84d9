import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { runOrThrow } from "../../../deploy/lab/run.js";
import { temporaryFolder } from "../../harness/temporary-folder.js";

/** Kills tcpdump when the test process ends. */
const KILL_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"];

/**
 * The packets that tcpdump has captured on a device of a network namespace.
 *
 * tcpdump receives packets with a delay. Before a test asserts that a packet was not sent, it must send another packet
 * and wait until that is captured.
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

  /**
   * Starts a capture. Resolves when tcpdump captures packets.
   *
   * @param enter Prefix of a command line that runs a program in the namespace.
   */
  static async start(enter: readonly string[], device: string): Promise<Capture> {
    const folder = temporaryFolder();
    const file = join(folder, "packets");
    const command = [
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
    const [program = "", ...args] = [...KILL_WITH_PARENT, ...enter, ...command];
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
    const capture = new Capture(folder, child, file);
    try {
      await waitForOutput(child, "listening on");
      return capture;
    } catch (error) {
      await capture.close();
      throw error;
    }
  }

  /** Returns the number of captured packets that match a tcpdump filter. */
  async count(filter: string): Promise<number> {
    const listed = await runOrThrow(["tcpdump", "-n", "-r", this.#file, filter]);
    return listed.split("\n").filter((line) => line !== "").length;
  }

  /** Returns whether a captured packet contains this text. */
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

/** Waits until a program prints this text to stderr. Keeps reading, because SIGPIPE would end the program otherwise. */
function waitForOutput(program: ChildProcess, text: string): Promise<void> {
  let output = "";
  return new Promise((resolve, reject) => {
    program.stderr?.on("data", (chunk) => {
      output += String(chunk);
      if (output.includes(text)) resolve();
    });
    program.once("error", reject);
    program.once("exit", () => reject(new Error(`tcpdump exited: ${output}`)));
  });
}
