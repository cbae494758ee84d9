import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { runOrThrow } from "../../../deploy/lab/run.js";
import { temporaryDirectory } from "../../harness/temporary-directory.js";

/** Kills tcpdump when the test process ends. */
const KILL_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"];

/** A TLS record with a handshake message (RFC 8446, sections 4 and 5.1). */
const SERVER_HELLO_START = Buffer.from([0x16, 0x03]);
const SERVER_HELLO = 2;
const SUPPORTED_VERSIONS = 43;
/** Offsets from the start of the record. */
const [MESSAGE_TYPE, LEGACY_VERSION, SESSION_ID] = [5, 9, 43];

/**
 * The packets that tcpdump has captured on a device of a network namespace.
 *
 * tcpdump receives packets with a delay. Before a test asserts that a packet was not sent, it must send another packet
 * and wait until that is captured.
 */
export class Capture {
  readonly #file: string;
  readonly #program: ChildProcess;
  readonly #directory: string;

  private constructor(directory: string, program: ChildProcess, file: string) {
    this.#directory = directory;
    this.#program = program;
    this.#file = file;
  }

  /**
   * Starts a capture. Resolves when tcpdump captures packets.
   *
   * @param enter Prefix of a command line that runs a program in the namespace.
   */
  static async start(enter: readonly string[], device: string): Promise<Capture> {
    const directory = temporaryDirectory();
    const file = join(directory, "packets");
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
    const capture = new Capture(directory, child, file);
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

  /** Returns the TLS version of each captured ServerHello. */
  async tlsVersions(): Promise<readonly number[]> {
    const bytes = await readFile(this.#file);
    const versions: number[] = [];
    for (
      let at = bytes.indexOf(SERVER_HELLO_START);
      at >= 0;
      at = bytes.indexOf(SERVER_HELLO_START, at + 1)
    ) {
      const version = serverHelloVersion(bytes.subarray(at));
      if (version !== undefined) versions.push(version);
    }
    return versions;
  }

  async close(): Promise<void> {
    if (this.#program.exitCode === null && this.#program.signalCode === null) {
      this.#program.kill("SIGINT");
      await once(this.#program, "exit");
    }
    await rm(this.#directory, { recursive: true, force: true });
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

/** Returns the version that a server has selected, or undefined if the bytes are not a ServerHello. */
function serverHelloVersion(record: Buffer): number | undefined {
  if (record.length <= SESSION_ID || record[MESSAGE_TYPE] !== SERVER_HELLO) return undefined;
  const legacyVersion = record.readUInt16BE(LEGACY_VERSION);
  if (legacyVersion >> 8 !== 0x03) return undefined;
  // After the session ID: the cipher suite (2 bytes), the compression (1) and the length of the extensions (2).
  let at = SESSION_ID + 1 + (record[SESSION_ID] ?? 0) + 3;
  const end = Math.min(record.length - 4, at + 2 + record.readUInt16BE(at));
  for (at += 2; at < end; at += 4 + record.readUInt16BE(at + 2)) {
    if (record.readUInt16BE(at) === SUPPORTED_VERSIONS) return record.readUInt16BE(at + 4);
  }
  return legacyVersion;
}
