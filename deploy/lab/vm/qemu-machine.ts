import { spawn } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { LabError } from "../lab-error.js";
import { type Lan, macAddress } from "../lan.js";
import type { Machine } from "../machine.js";
import { type MachinePaths, machinePaths } from "../paths.js";
import { findInit, isAlive, type ProcessRef, readNetnsHandle, signalProcess } from "../processes.js";
import { type RunOptions, type RunResult, run, runOrThrow } from "../run.js";
import { waitUntil } from "../wait-until.js";
import type { BaseImage } from "./base-image.js";
import { connectCommand, disconnectCommand, remoteCommand, type SshOptions } from "./management-ssh.js";
import { type Acceleration, qemuCommand } from "./qemu-command.js";
import { runQmp } from "./qmp.js";
import { guestFile } from "./vm-files.js";

/** Memory of each machine. The machine takes only the part of it that it has used. */
const MEMORY_MIB = 1_024;
/** QEMU reads a snapshot of 300 MB in a second, and longer on a busy machine. */
const RESUME_TIMEOUT_MS = 120_000;
/** A boot takes 10 s with hardware virtualization. Emulation on a busy machine takes minutes. */
const BOOT_TIMEOUT_MS = 900_000;
const SNAPSHOT_TIMEOUT_MS = 120_000;
const POWER_OFF_TIMEOUT_MS = 20_000;
/** Timeout of a command, unless the caller sets another one. Programs of Node.js start slowly under emulation. */
const COMMAND_TIMEOUT_MS = 300_000;
/** ssh exits with this code if it cannot connect. */
const SSH_FAILED = 255;

/** What a new machine starts with. */
export interface MachineSource {
  /** Disk that the machine's own disk is a layer on. */
  readonly disk: string;
  readonly format: "raw" | "qcow2";
  /** File with the memory of the snapshot. If undefined, the machine boots. */
  readonly memoryFile: string | undefined;
}

export interface QemuMachineOptions {
  readonly lab: string;
  readonly name: string;
  readonly address: string;
  readonly lan: Lan;
  readonly image: BaseImage;
  readonly acceleration: Acceleration;
  readonly source: MachineSource;
}

/**
 * A virtual machine with Debian's kernel and systemd. QEMU runs as PID 1 of its own PID namespace, so the machine ends
 * with it, and in its own network namespace, which has one tap device on the lab's network and one for ssh.
 */
export class QemuMachine implements Machine {
  readonly name: string;
  readonly address: string;
  readonly paths: MachinePaths;
  readonly #options: QemuMachineOptions;

  constructor(options: QemuMachineOptions) {
    this.name = options.name;
    this.address = options.address;
    this.paths = machinePaths(options.lab, options.name);
    this.#options = options;
  }

  get isUp(): boolean {
    return this.#findInit() !== undefined;
  }

  get initPid(): number | undefined {
    return this.#findInit()?.pid;
  }

  /** Starts a new machine from its source, or boots an existing one from its disk. */
  async boot(signal?: AbortSignal): Promise<void> {
    if (this.isUp) throw new LabError("LAB_HOST_UP", `${this.name} is already up`);
    const { runDir, dataDir, logDir, netns } = this.paths;
    const { lan, source } = this.#options;
    await rm(runDir, { recursive: true, force: true });
    await Promise.all(
      [join(runDir, "berth"), dataDir, logDir].map((directory) => mkdir(directory, { recursive: true })),
    );
    await lan.attachVirtualMachine(this.name, netns);
    const isNew = !existsSync(this.#disk);
    if (isNew) await this.#createDisk(signal);
    const memoryFile = isNew ? source.memoryFile : undefined;
    this.#launch(memoryFile);
    if (memoryFile !== undefined) await this.#resume(signal);
    await this.#connect(signal);
    if (isNew) await this.#setIdentity(signal);
  }

  async powerOff(): Promise<void> {
    const init = this.#initOrThrow();
    await this.#options.lan.unplug(this.name);
    signalProcess(init, "SIGKILL");
    await this.#waitForEnd(init);
  }

  async unplug(): Promise<void> {
    this.#initOrThrow();
    await this.#options.lan.unplug(this.name);
  }

  async plug(): Promise<void> {
    this.#initOrThrow();
    await this.#options.lan.plug(this.name);
  }

  isPlugged(): Promise<boolean> {
    return this.#options.lan.isPlugged(this.name);
  }

  async exists(path: string): Promise<boolean> {
    return (await this.exec(["test", "-e", path])).code === 0;
  }

  /** @throws LabError LAB_COMMAND_FAILED also if the machine does not answer. */
  async exec(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    this.#initOrThrow();
    // The machine may have restarted.
    if (!(await this.#isConnected())) await this.#connect(options.signal);
    const result = await run(remoteCommand(this.#ssh, argv, false), {
      timeoutMs: COMMAND_TIMEOUT_MS,
      ...options,
    });
    if (result.code !== SSH_FAILED) return result;
    throw new LabError("LAB_COMMAND_FAILED", `${this.name}: ${argv.join(" ")}: ${result.stderr.trim()}`);
  }

  /** Runs a program that must succeed and returns its stdout. */
  async execOrThrow(argv: readonly string[], options: RunOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.exec(argv, options);
    if (code === 0) return stdout;
    const reason = (stderr || stdout).trim();
    throw new LabError("LAB_COMMAND_FAILED", `${this.name}: ${argv.join(" ")}: exit ${code}: ${reason}`);
  }

  commandInside(argv: readonly string[]): string[] {
    this.#initOrThrow();
    return remoteCommand(this.#ssh, argv, process.stdin.isTTY);
  }

  /** Copies a file to the machine. */
  async copyTo(file: string, path: string, signal?: AbortSignal): Promise<void> {
    const script = 'file=$0; exec "$@" <"$file"';
    const receive = remoteCommand(this.#ssh, ["sh", "-c", 'cat >"$0"', path], false);
    await runOrThrow(["sh", "-c", script, file, ...receive], { timeoutMs: COMMAND_TIMEOUT_MS, signal });
  }

  /** Stops the machine and moves its disk and its memory to files of a directory. */
  async saveTo(directory: string, signal?: AbortSignal): Promise<MachineSource> {
    const init = this.#initOrThrow();
    const memoryFile = join(directory, "memory");
    await runQmp(this.#controlSocket, [
      { execute: "stop" },
      { execute: "migrate", arguments: { uri: `exec:cat >${memoryFile}` } },
    ]);
    const isSaved = async (): Promise<boolean> => {
      const status = statusOf(await runQmp(this.#controlSocket, [{ execute: "query-migrate" }]));
      if (status === "failed") throw new LabError("LAB_COMMAND_FAILED", "QEMU could not save a snapshot");
      return status === "completed";
    };
    await waitUntil(isSaved, { what: "the snapshot", timeoutMs: SNAPSHOT_TIMEOUT_MS, signal });
    await runQmp(this.#controlSocket, [{ execute: "quit" }]);
    await this.#waitForEnd(init);
    const disk = join(directory, "disk.qcow2");
    await runOrThrow(["mv", this.#disk, disk], { signal });
    return { disk, format: "qcow2", memoryFile };
  }

  get #disk(): string {
    return join(this.paths.dataDir, "disk.qcow2");
  }

  get #controlSocket(): string {
    return join(this.paths.runDir, "qmp.sock");
  }

  get #ssh(): SshOptions {
    const { netns, runDir } = this.paths;
    const keyDirectory = this.#options.image.directory;
    return { netns, connectionSocket: join(runDir, "ssh.sock"), keyDirectory };
  }

  async #createDisk(signal: AbortSignal | undefined): Promise<void> {
    const { disk, format } = this.#options.source;
    const command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", format, "-b", disk, this.#disk];
    await runOrThrow(command, { signal });
  }

  #launch(memoryFile: string | undefined): void {
    const { name, acceleration, image } = this.#options;
    const { netns, logDir } = this.paths;
    const namespaces = ["--pid", "--fork", "--mount", "--mount-proc", "--kill-child"];
    const argv = [
      ...[`--net=${netns}`, "unshare", ...namespaces],
      ...qemuCommand({
        name,
        acceleration,
        memoryMib: MEMORY_MIB,
        kernelImage: image.kernelImage,
        initramfs: image.initramfs,
        disk: this.#disk,
        mac: macAddress(this.address),
        controlSocket: this.#controlSocket,
        consoleLog: join(logDir, "console.log"),
        memoryFile,
      }),
    ];
    const log = openSync(this.#qemuLog, "w");
    // Detached, so that Ctrl-C in the lab's terminal does not stop the machine.
    const launcher = spawn("nsenter", argv, { detached: true, stdio: ["ignore", log, log], cwd: "/" });
    closeSync(log);
    launcher.on("error", () => undefined);
    launcher.unref();
  }

  get #qemuLog(): string {
    return join(this.paths.logDir, "qemu.log");
  }

  /** Waits until QEMU has read the snapshot, and continues the machine. */
  async #resume(signal: AbortSignal | undefined): Promise<void> {
    const what = `QEMU to start ${this.name} from a snapshot (log: ${this.#qemuLog})`;
    const isRead = async (): Promise<boolean> => {
      if (!existsSync(this.#controlSocket)) return false;
      return statusOf(await runQmp(this.#controlSocket, [{ execute: "query-status" }])) !== "inmigrate";
    };
    await waitUntil(isRead, { what, timeoutMs: RESUME_TIMEOUT_MS, signal, retryErrors: true });
    await runQmp(this.#controlSocket, [{ execute: "cont" }]);
  }

  async #isConnected(): Promise<boolean> {
    const { connectionSocket } = this.#ssh;
    return (
      existsSync(connectionSocket) &&
      (await run(["ssh", "-F", "none", "-S", connectionSocket, "-O", "check", this.name])).code === 0
    );
  }

  /** Connects with ssh, which also forwards the sockets of Docker and the berth server to the machine's run directory. */
  async #connect(signal: AbortSignal | undefined): Promise<void> {
    const { runDir, logDir } = this.paths;
    const command = connectCommand(this.#ssh, {
      [join(runDir, "docker.sock")]: "/run/docker.sock",
      [join(runDir, "berth/server.sock")]: "/run/berth-server/server.sock",
    });
    const log = join(logDir, "ssh.log");
    const tryToConnect = async (): Promise<boolean> => {
      if (!this.isUp) {
        const output = (await readFile(this.#qemuLog, "utf8").catch(() => "")).trim();
        throw new LabError("LAB_NOT_READY", `QEMU of ${this.name} has exited: ${output}`);
      }
      // A log file, because the connection in the background would keep a pipe open.
      return (
        (
          await run(["sh", "-c", 'exec "$@" >>"$0" 2>&1', log, ...command], {
            timeoutMs: COMMAND_TIMEOUT_MS,
            signal,
          })
        ).code === 0
      );
    };
    await waitUntil(tryToConnect, {
      what: `${this.name} to accept ssh (log: ${join(logDir, "console.log")})`,
      timeoutMs: BOOT_TIMEOUT_MS,
      signal,
    });
  }

  async #setIdentity(signal: AbortSignal | undefined): Promise<void> {
    const seconds = Math.floor(Date.now() / 1_000);
    const script = await readFile(guestFile("identity.sh"), "utf8");
    const args = [this.name, macAddress(this.address), this.address, String(seconds)];
    await this.execOrThrow(["sh", "-s", ...args], { input: script, signal });
  }

  /** Waits until QEMU has ended, closes the ssh connection and removes the network. */
  async #waitForEnd(init: ProcessRef): Promise<void> {
    await waitUntil(() => !isAlive(init), {
      what: `QEMU of ${this.name} to end`,
      timeoutMs: POWER_OFF_TIMEOUT_MS,
    });
    await run(disconnectCommand(this.#ssh));
    await this.#options.lan.detach(this.name, this.paths.netns);
  }

  #findInit(): ProcessRef | undefined {
    const netns = readNetnsHandle(this.paths.netns);
    return netns === undefined ? undefined : findInit(netns);
  }

  #initOrThrow(): ProcessRef {
    const init = this.#findInit();
    if (init) return init;
    throw new LabError("LAB_HOST_DOWN", `${this.name} is down; start it first`);
  }
}

function statusOf(result: unknown): unknown {
  return typeof result === "object" && result !== null && "status" in result ? result.status : undefined;
}
